"""Slices of a volume to train on, for models of pictures: rows along a slice's second axis, columns along its first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.slices import slices_last
from inference_core.geometry.values import with_background
from inference_core.models.blocks.slice_preprocess import UInt8, eight_bit
from inference_core.training.data.cases import Case
from inference_core.training.recipe import Prepared
from inference_core.training.samples import values_of

ARRAYS = ("image", "labels", "values")


def sliced_case(case: Case, wanted: Sequence[int]) -> Prepared:
    """A case's own voxels (X, Y, Z) and labels, slices last, and which of the values wanted are there."""
    image, labels = slices_last(case.read()), slices_last(case.read_labels())
    voxels = with_background(image.array).astype(np.float32)
    return {"image": voxels, "labels": labels.array, "values": values_of(labels.array, wanted)}


def class_in_slice(prepared: Prepared, rng: np.random.Generator) -> tuple[UInt8, NDArray[np.bool_]] | None:
    """An 8-bit picture (H, W) of a slice that holds a random class, and where that is; None where there is no class."""
    if len(prepared["values"]) == 0:
        return None
    inside = prepared["labels"] == rng.choice(prepared["values"])
    number = int(rng.choice(np.flatnonzero(inside.any(axis=(0, 1)))))
    return eight_bit(prepared["image"][:, :, number].T), inside[:, :, number].T


def nearest_pixels(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask (H, W) at another resolution, each pixel that of the old ones in whose middle it lies."""
    rows, columns = (
        np.floor((np.arange(size) + 0.5) * old / size).astype(int) for size, old in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
