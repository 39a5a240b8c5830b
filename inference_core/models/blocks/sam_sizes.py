"""The sizes of a 2D SAM (Kirillov et al. 2023), as they are read off a checkpoint's shapes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from inference_core.errors import CheckpointError

SIZE_ERRORS = (KeyError, IndexError, ValueError, ZeroDivisionError)
"""What reading sizes raises where the names or shapes are not those of a SAM."""
_MOST_UPSCALING_LAYERS = 16


@dataclass(frozen=True)
class SamSizes:
    """Sizes of the network; the defaults are those of ViT-B.

    global_blocks: the blocks that attend over the whole grid, the others do in windows. upscaled: channels after each
    of the decoder's doublings of the resolution.
    """

    image_size: int = 1024
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    prompt_width: int = 256
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    mask_tokens: int = 4
    quality_hidden: int = 256
    upscaled: tuple[int, ...] = (64, 32)

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.image_size // self.patch_size


@contextmanager
def reading_sam(name: str) -> Iterator[None]:
    """Read sizes off a file of this name, which is to be SAM's own.

    Raises:
        CheckpointError: what is read in the block is no SAM's.
    """
    try:
        yield
    except SIZE_ERRORS as error:
        raise CheckpointError(f"'{name}' is no SAM checkpoint; give SAM's own.") from error


def read_sizes(state: Mapping[str, Tensor]) -> SamSizes:
    """Read the sizes off the shapes under the official names.

    The number of the decoder's heads leaves no trace in the shapes and keeps its default.

    Raises:
        SIZE_ERRORS: the names or shapes are not those of a SAM.
    """
    return SamSizes(**common_sizes(state, axes=2, table="rel_pos_h"), upscaled=_upscaled(state))


def common_sizes(state: Mapping[str, Tensor], *, axes: int, table: str) -> dict[str, Any]:
    """The sizes that a SAM of slices (2 axes) and one of volumes (3) have in common, by the names of `SamSizes`.

    `table` names one of an attention's tables of relative positions.

    Raises:
        SIZE_ERRORS: as `read_sizes`.
    """
    positions, patches = state["image_encoder.pos_embed"].shape, state["image_encoder.patch_embed.proj.weight"].shape
    if len(positions) != axes + 2 or len(patches) != axes + 2:
        raise ValueError(f"these are not the weights of a {axes}D network")
    depth = count_numbered(state, "image_encoder.blocks.{}.norm1.weight")
    tables = [state[f"image_encoder.blocks.{index}.attn.{table}"].shape for index in range(depth)]
    sides = [(rows + 1) // 2 for rows, _ in tables]
    grid, width = positions[1], positions[-1]
    return {
        "image_size": grid * patches[2],
        "patch_size": patches[2],
        "width": width,
        "depth": depth,
        "heads": width // tables[0][1],
        "window": next((side for side in sides if side != grid), grid),
        "global_blocks": tuple(index for index, side in enumerate(sides) if side == grid),
        "prompt_width": state["image_encoder.neck.0.weight"].shape[0],
        "mask_channels": state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        "decoder_depth": count_numbered(state, "mask_decoder.transformer.layers.{}.norm1.weight"),
        "decoder_hidden": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        "mask_tokens": state["mask_decoder.mask_tokens.weight"].shape[0],
        "quality_hidden": state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    }


def count_numbered(names: Container[str], pattern: str) -> int:
    """How many of pattern.format(0), pattern.format(1), ... are among some names, up to the first that is not."""
    count = 0
    while pattern.format(count) in names:
        count += 1
    return count


def _upscaled(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Output channels of the transposed convolutions, whose weights have four axes where the norms' have one."""
    keys = (f"mask_decoder.output_upscaling.{index}.weight" for index in range(_MOST_UPSCALING_LAYERS))
    return tuple(state[key].shape[1] for key in keys if key in state and state[key].ndim == 4)
