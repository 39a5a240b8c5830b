"""CLIP's text tower (Radford et al., arXiv:2103.00020, section 2.4) under the parameter names of open_clip.

Legend: B texts, L tokens, C channels, E the embedding's width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TextSizes:
    """Sizes of a text tower; `quick` is the approximate GELU of OpenAI's own weights."""

    context: int
    vocabulary: int
    width: int
    heads: int
    layers: int
    hidden: int
    embedding: int
    quick: bool = False


class TextBlock(nn.Module):
    """Causal attention and an MLP, each after its norm and beside a residual."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.attn = nn.MultiheadAttention(sizes.width, sizes.heads, batch_first=True)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(sizes.width, sizes.hidden), "c_proj": nn.Linear(sizes.hidden, sizes.width)}
        )
        self._activation: Activation = quick_gelu if sizes.quick else F.gelu

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, C); mask (L, L) is added to the logits of attention."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        y: Tensor = x + self.mlp["c_proj"](self._activation(self.mlp["c_fc"](self.ln_2(x))))
        return y


class TextBlocks(nn.Module):
    """All blocks, one after the other."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([TextBlock(sizes) for _ in range(sizes.layers)])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class TextTower(nn.Module):
    """Token ids to one embedding a text, read at the last token, the one of the highest id."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(sizes.context, sizes.width))
        self.transformer = TextBlocks(sizes)
        self.ln_final = nn.LayerNorm(sizes.width)
        self.text_projection = nn.Parameter(torch.randn(sizes.width, sizes.embedding) / sizes.width**0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, L), what follows the last token does not matter, to (B, E), not normalized."""
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        mask = torch.full((length, length), float("-inf"), device=ids.device).triu(1)
        x = self.transformer(x, mask)
        last: Tensor = self.ln_final(x)[torch.arange(len(ids)), ids.argmax(dim=1)]
        return last @ self.text_projection


def quick_gelu(x: Tensor) -> Tensor:
    """x times the sigmoid of 1.702 x."""
    return x * torch.sigmoid(1.702 * x)


def text_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a whole CLIP's tensors that are its text tower's, whether under `text.` or bare."""
    bare = {key.removeprefix("text."): value for key, value in state.items() if not key.startswith("visual.")}
    names = ("token_embedding.", "positional_embedding", "transformer.resblocks.", "ln_final.", "text_projection")
    return {key: value for key, value in bare.items() if key.startswith(names)}
