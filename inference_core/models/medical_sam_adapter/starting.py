"""Where the training of Medical SAM Adapter begins, and the file that it leaves (specification 2.5-2.9).

Generation D of the official code is trained, the last one: SAM's relative positions are left out, and the MLPs of the
decoder are drawn anew, since its blocks are EfficientSAM's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_core.models.blocks.sam_image_encoder import resized_positions
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import read_sizes, reading_sam
from inference_core.models.medical_sam_adapter.checkpoint import understood
from inference_core.models.medical_sam_adapter.network import AdaptedSizes, DepthOf, adapted_network
from inference_core.models.medical_sam_adapter.sizes import POSITIONS, TABLE, adapter_key
from inference_core.models.medical_sam_adapter.text import NAME, another_encoder
from inference_core.models.weights import load_state_dict, load_strict

TRAINED = r"_Adapter\.|^mask_decoder\.|^text_projection\."
"""What the authors train; the prompt encoder and the rest of the image encoder stay SAM's."""
_DRAWN_ANEW = re.compile(r"^mask_decoder\..*\.mlp\.lin[12]\.")
_OFFICIAL = (
    (re.compile(r"\.attn\.rel_pos_([hw])$"), r".attn.rel_\1"),
    (re.compile(r"^(mask_decoder\..*\.mlp)\.lin1\."), r"\1.layers.0.0."),
    (re.compile(r"^(mask_decoder\..*\.mlp)\.lin2\."), r"\1.fc."),
)


@dataclass(frozen=True, eq=False)
class Start:
    """A network to train, its sizes, and SAM's table of positions (1, g, g, C) before it was resized to the input."""

    network: SamNetwork
    sizes: AdaptedSizes
    positions: Tensor


def start_from(path: Path, *, image_size: int, depth: DepthOf | None, text_width: int = 0) -> Start:
    """A network that begins with a SAM checkpoint, or with a training checkpoint of this family.

    `image_size` is the side of the input; a training checkpoint that tells its own keeps that. With a `text_width` the
    network reads texts whose embeddings have so many numbers; a checkpoint that has learned none begins to.

    Raises:
        CheckpointError: the file is neither, or has learned texts of another width.
    """
    state = load_state_dict(path)
    if adapter_key("MLP", 1) not in state:
        return start_from_sam(state, image_size=image_size, depth=depth, name=path.name, text_width=text_width)
    checkpoint = understood(state, path, None, image_size=image_size, deep=depth is not None)
    if text_width and checkpoint.sizes.text not in (0, text_width):
        raise another_encoder(path.name)
    sizes = replace(checkpoint.sizes, text=checkpoint.sizes.text or text_width)
    network = adapted_network(sizes, depth=depth)
    drawn = {key: value for key, value in network.state_dict().items() if key.startswith(NAME)}
    load_strict(network, {**drawn, **checkpoint.state}, name=path.name)
    return Start(network, sizes, state[POSITIONS])


def start_from_sam(
    state: Mapping[str, Tensor], *, image_size: int, depth: DepthOf | None, name: str, text_width: int = 0
) -> Start:
    """SAM with freshly drawn adapters: of ViT-B 282 of 314 tensors are SAM's (specification 2.7).

    Raises:
        CheckpointError: the state is not that of a SAM; `name` is what the error calls it.
    """
    with reading_sam(name):
        sam = read_sizes(state)
    sizes = AdaptedSizes(replace(sam, image_size=image_size), tables=None, residual=True, text=text_width)
    network = adapted_network(sizes, depth=depth)
    given = from_sam(state)
    given[POSITIONS] = resized_positions(given[POSITIONS], sizes.sam.grid, mode="bicubic")
    network.load_state_dict({**network.state_dict(), **given})
    return Start(network, sizes, state[POSITIONS])


def from_sam(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a SAM checkpoint the training begins with."""
    return {key: value for key, value in state.items() if not TABLE.search(key) and not _DRAWN_ANEW.match(key)}


def official_content(weights: Mapping[str, Tensor], start: Start, *, optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """What the authors' train.py saves (specification 2.9), of weights of `start.network`.

    Positions are written at SAM's size, since their program resizes them at every pass; relative positions are zeros,
    as it leaves them.
    """
    state = {**_zero_tables(start.sizes), **weights, POSITIONS: start.positions}
    official = {(_official_name(key) if start.sizes.residual else key): value for key, value in state.items()}
    return {
        "epoch": 0, "model": "sam", "state_dict": {key: value.detach().clone() for key, value in official.items()},
        "optimizer": dict(optimizer), "best_tol": 0.0, "path_helper": {},
    }  # fmt: skip


def _zero_tables(sizes: AdaptedSizes) -> dict[str, Tensor]:
    if sizes.tables is not None:
        return {}
    sam = sizes.sam
    tables = {}
    for index in range(sam.depth):
        side = sam.grid if index in sam.global_blocks else sam.window
        for axis in "hw":
            name = f"image_encoder.blocks.{index}.attn.rel_pos_{axis}"
            tables[name] = torch.zeros(2 * side - 1, sam.width // sam.heads)
    return tables


def _official_name(key: str) -> str:
    for pattern, replacement in _OFFICIAL:
        key = pattern.sub(replacement, key)
    return key
