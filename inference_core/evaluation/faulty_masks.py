"""Masks as other tools and earlier months leave them: a target with one fault of a known kind, to be repaired.

Written apart from the faults that SAM3D lite is trained on (`training.foreign_masks`), in millimeters and on the grid
of the image, so that a model is not judged by what it has learned by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference_core.errors import PromptError
from inference_core.geometry.grid import Float, squared_lengths
from inference_core.geometry.mask import VoxelBox

Bools = NDArray[np.bool_]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class _Target:
    """A target (i, j, k) with room around it; `radius_mm` is that of a ball of its volume."""

    mask: Bools
    spacing: Float
    radius_mm: float

    def depth_mm(self) -> Float:
        """How far inside each voxel is, below zero outside."""
        inside = ndimage.distance_transform_edt(self.mask, sampling=self.spacing)
        return np.asarray(inside - ndimage.distance_transform_edt(~self.mask, sampling=self.spacing))

    def ball(self, center: Float, radius_mm: float) -> Bools:
        """The voxels within a radius of a voxel."""
        offsets = [(np.arange(n) - c) * d for n, c, d in zip(self.mask.shape, center, self.spacing, strict=True)]
        return np.asarray(squared_lengths(offsets) <= radius_mm**2)


Fault = Callable[[np.random.Generator, _Target], Bools]


def faulty_mask(target: Bools, spacing: Spacing, *, seed: int) -> Bools:
    """A target (i, j, k) with a fault: of the seed's kind (`FAULTS`, in turn), its size and place drawn from the seed.

    Never empty: a fault that takes everything away leaves the deepest voxels.

    Raises:
        PromptError: the target is empty.
    """
    held = VoxelBox.over(target)
    if held is None:
        raise PromptError("The target is empty; choose a label that is in the volume.")
    steps = np.asarray(spacing, dtype=np.float64)
    radius = float((3 * target.sum() * steps.prod() / (4 * np.pi)) ** (1 / 3))
    room = np.ceil(3 * radius / steps).astype(int) + 1
    part = VoxelBox(np.maximum(held.start - room, 0), np.minimum(held.stop + room, target.shape)).slices()
    around = _Target(np.asarray(target[part], dtype=np.bool_), steps, radius)
    found = list(FAULTS.values())[seed % len(FAULTS)](np.random.default_rng(seed), around)
    if not found.any():
        depth = around.depth_mm()
        found = depth >= 0.7 * depth.max()
    mask = np.zeros(target.shape, dtype=np.bool_)
    mask[part] = found
    return mask


def _leaked(rng: np.random.Generator, target: _Target) -> Bools:
    """A shell too much all around."""
    return np.asarray(target.depth_mm() > -rng.uniform(0.1, 0.35) * target.radius_mm)


def _shrunk(rng: np.random.Generator, target: _Target) -> Bools:
    """A shell is missing all around."""
    return np.asarray(target.depth_mm() > rng.uniform(0.1, 0.35) * target.radius_mm)


def _shifted(rng: np.random.Generator, target: _Target) -> Bools:
    """Beside the target, as after a breath."""
    step = _direction(rng) * rng.uniform(0.15, 0.5) * target.radius_mm / target.spacing
    return np.asarray(ndimage.shift(target.mask.astype(np.float32), step, order=1) > 0.5)


def _cut(rng: np.random.Generator, target: _Target) -> Bools:
    """One end is missing, a fifth to two fifths of the target."""
    heights = (np.argwhere(target.mask) * target.spacing) @ (direction := _direction(rng))
    axes = np.ogrid[tuple(slice(n) for n in target.mask.shape)]
    height = sum(axis * step * d for axis, step, d in zip(axes, target.spacing, direction, strict=True))
    return np.asarray(target.mask & (height <= np.quantile(heights, rng.uniform(0.6, 0.8))))


def _spilled(rng: np.random.Generator, target: _Target) -> Bools:
    """A ball too much at the rim."""
    rim = np.argwhere(target.mask & ~ndimage.binary_erosion(target.mask))
    return target.mask | target.ball(rim[rng.integers(len(rim))], rng.uniform(0.4, 0.8) * target.radius_mm)


def _hollow(rng: np.random.Generator, target: _Target) -> Bools:
    """A ball within is missing."""
    places = np.argwhere(target.mask)
    hole = target.ball(places[rng.integers(len(places))], rng.uniform(0.4, 0.8) * target.radius_mm)
    return np.asarray(target.mask & ~hole)


def _elsewhere(rng: np.random.Generator, target: _Target) -> Bools:
    """A ball too much, away from the target."""
    depth = target.depth_mm()
    far = np.argwhere(depth < -target.radius_mm)
    places = far if len(far) else np.argwhere(depth == depth.min())
    return target.mask | target.ball(places[rng.integers(len(places))], rng.uniform(0.3, 0.6) * target.radius_mm)


def _coarse(rng: np.random.Generator, target: _Target) -> Bools:
    """In blocks, as of a much coarser grid."""
    block = np.maximum(2, np.rint(rng.uniform(0.4, 0.8) * target.radius_mm / target.spacing)).astype(int)
    index = np.ix_(*[(np.arange(n) // b) for n, b in zip(target.mask.shape, block, strict=True)])
    share = ndimage.uniform_filter(target.mask.astype(np.float32), size=block)
    middles = tuple(np.minimum(i * b + b // 2, n - 1) for i, b, n in zip(index, block, target.mask.shape, strict=True))
    return np.asarray(share[middles] > 0.5)


FAULTS: dict[str, Fault] = {
    "leaked": _leaked,
    "shrunk": _shrunk,
    "shifted": _shifted,
    "cut": _cut,
    "spilled": _spilled,
    "hollow": _hollow,
    "elsewhere": _elsewhere,
    "coarse": _coarse,
}


def _direction(rng: np.random.Generator) -> Float:
    direction = rng.normal(size=3)
    return np.asarray(direction / np.linalg.norm(direction))
