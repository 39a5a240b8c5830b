"""Prompts in words (arXiv:2304.12620, section 3): a frozen CLIP's embeddings, projected to the decoder's tokens.

No public code or weights have this part: how many tokens there are and what projects them is ours.

Legend: S texts, E numbers of an embedding, K tokens of a text, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from inference_core.errors import CheckpointError, ModelError
from inference_core.models.text_encoder import PROBE, TextEncoder

if TYPE_CHECKING:
    from inference_core.models.blocks.sam_network import SamNetwork

TOKENS = 2
NAME = "text_projection"
_WIDTH_KEY = f"{NAME}.layers.0.weight"
_SAME = 1e-3


class TextProjection(nn.Module):
    """Embeddings to tokens. `probe` (E,) is a fixed text's embedding by the encoder that it was trained with."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, TOKENS * channels))
        self.register_buffer("probe", torch.zeros(width))

    def forward(self, embeddings: Tensor) -> Tensor:
        """(S, E), each of length 1, to (S, K, C)."""
        tokens: Tensor = self.layers(embeddings * embeddings.shape[1] ** 0.5)  # numbers of about 1, as layers expect
        return tokens.unflatten(1, (TOKENS, -1))


def text_width_of(state: Mapping[str, Tensor]) -> int:
    """E of a checkpoint's projection; 0 where it has none."""
    return state[_WIDTH_KEY].shape[1] if _WIDTH_KEY in state else 0


def remember(network: SamNetwork, encoder: TextEncoder, *, name: str) -> None:
    """Note in a projection which encoder it is trained with.

    Raises:
        CheckpointError: it was trained with another one before.
    """
    probe, own = network.get_buffer(f"{NAME}.probe"), encoder.embed([PROBE])[0]
    if probe.any() and not _same(probe, own):
        raise another_encoder(name)
    probe.copy_(own)


def check_encoder(network: SamNetwork, encoder: TextEncoder, *, name: str) -> None:
    """Refuse an encoder that is not the one of the training.

    Raises:
        ModelError: the weights learned no texts.
        CheckpointError: they learned them with another encoder.
    """
    if not hasattr(network, NAME):
        raise ModelError(
            f"'{name}' has learned no texts; leave out the text encoder, or train it with `train --text-encoder`."
        )
    if not _same(network.get_buffer(f"{NAME}.probe"), encoder.embed([PROBE])[0]):
        raise another_encoder(name)


def another_encoder(name: str) -> CheckpointError:
    """What is said of a text encoder that is not the one of the training."""
    return CheckpointError(f"'{name}' learned texts with another text encoder than the one given; give that one.")


def _same(probe: Tensor, own: Tensor) -> bool:
    return probe.shape == own.shape and bool((probe.cpu() - own).abs().max() <= _SAME)
