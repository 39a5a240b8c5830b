"""The sizes of a Medical SAM Adapter, read off a checkpoint under SAM's names as far as its tensors tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.models.blocks.sam_sizes import SIZE_ERRORS, SamSizes, count_numbered, read_sizes

POSITIONS, DECODER = "image_encoder.pos_embed", "mask_decoder."
TABLE = re.compile(r"\.attn\.rel_pos_[hw]$")
_BLOCK_TABLE = "image_encoder.blocks.{}.attn.rel_pos_{}"
_SIZE_IN_NAME = re.compile(r"[_-](\d{2,4})$")
# Multiples of a patch; none of the years that data sets carry in their names.
_SIZES = range(32, 1537, 16)
_OFFICIAL_HEADS = {768: 12, 1024: 16, 1280: 16}
_OFFICIAL_WINDOW, _OFFICIAL_GRID, _OFFICIAL_GLOBALS, _OFFICIAL_PATCH = 14, 64, 4, 16


@dataclass(frozen=True)
class AttentionFacts:
    """What tables of relative positions tell of an encoder; `global_side` is that of the grid the global ones fit."""

    heads: int
    window: int
    global_blocks: tuple[int, ...]
    global_side: int


def adapter_key(kind: str, layer: int, block: int | str = 0) -> str:
    """The name of an adapter's weight."""
    return f"image_encoder.blocks.{block}.{kind}_Adapter.D_fc{layer}.weight"


def attention_of(state: Mapping[str, Tensor], tables: Mapping[str, Tensor] | None = None) -> AttentionFacts | None:
    """Read off the tables in `tables`, the state itself by default; None where there are none.

    In all of SAM's sizes the first block attends in windows; blocks with tables of another length attend globally.
    """
    tables = tables or state
    count = count_numbered(tables, _BLOCK_TABLE.format("{}", "h"))
    shapes = [tables[_BLOCK_TABLE.format(index, "h")].shape for index in range(count)]
    if not shapes:
        return None
    sides = [(length + 1) // 2 for length, _ in shapes]
    others = tuple(index for index, side in enumerate(sides) if side != sides[0])
    heads = _width(state) // shapes[0][1]
    return AttentionFacts(heads, sides[0], others, sides[others[0]] if others else sides[0])


def official_attention(state: Mapping[str, Tensor]) -> AttentionFacts:
    """What SAM's three sizes have: four global blocks, evenly spread, and windows of 14."""
    depth = _count(state)
    every = max(depth // _OFFICIAL_GLOBALS, 1)
    blocks = tuple(range(every - 1, depth, every))
    heads = _OFFICIAL_HEADS.get(_width(state), max(_width(state) // 64, 1))
    return AttentionFacts(heads, _OFFICIAL_WINDOW, blocks, _OFFICIAL_GRID)


def image_size_of(
    state: Mapping[str, Tensor], attention: AttentionFacts, *, name: str, default: int, any_size: bool
) -> tuple[int, bool]:
    """The side of the network's input in pixels, and whether anything but `default` told it.

    Tables of relative positions tell it, unless with `any_size` they are those of another size; else a number at the
    end of the file's name (without its ending) does, as the Adapter Zoo has it.
    """
    patches = state.get("image_encoder.patch_embed.proj.weight")
    by_tables = attention.global_side * (_OFFICIAL_PATCH if patches is None else patches.shape[-1])
    has_tables = any(TABLE.search(key) for key in state)
    number = _SIZE_IN_NAME.search(name)
    if number is not None and int(number[1]) in _SIZES and (any_size or not has_tables):
        return int(number[1]), True
    return (by_tables, True) if has_tables else (default, False)


def sizes_of(state: Mapping[str, Tensor], attention: AttentionFacts, image_size: int, *, name: str) -> SamSizes:
    """SAM's sizes, for an input of `image_size` pixels a side.

    Raises:
        CheckpointError: the state lacks parts of the network.
    """
    try:
        grid = image_size // state["image_encoder.patch_embed.proj.weight"].shape[-1]
        stand_ins = {POSITIONS: torch.empty(1, grid, grid, _width(state), device="meta")}
        blocks = range(_count(state))
        table = torch.empty(2 * grid - 1, _width(state) // attention.heads, device="meta")
        stand_ins |= {_BLOCK_TABLE.format(index, "h"): table for index in blocks}
        sizes = read_sizes({**state, **stand_ins})
    except SIZE_ERRORS as error:
        raise CheckpointError(
            f"'{name}' lacks parts of Medical SAM Adapter's network ({error}); choose a whole checkpoint."
        ) from error
    return replace(sizes, heads=attention.heads, window=attention.window, global_blocks=attention.global_blocks)


def _width(state: Mapping[str, Tensor]) -> int:
    return state[adapter_key("MLP", 1)].shape[-1]


def _count(state: Mapping[str, Tensor]) -> int:
    """Blocks with adapters."""
    return count_numbered(state, adapter_key("MLP", 1, "{}"))
