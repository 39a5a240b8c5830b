"""Transforms that bend: points carried forward, the way back by iteration, and whether two images fit under one.

A `Warp` takes points (n, 3), RAS mm of the earlier visit, to RAS mm of the later one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from inference_core.errors import VolumeError
from inference_core.followup.reach import check_reached
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid, corners_ijk
from inference_core.io.itk import simpleitk

Warp: TypeAlias = Callable[[Float], Float]
INVERSE_MM = 0.01
_STEP_MM = 0.1
_MOST_STEPS = 50
_FLAT = 1e-3
_NODES = 24


@dataclass(frozen=True, eq=False)
class Bent:
    """A transform that bends, RAS mm of the earlier visit to the later one's: `warp` refuses points without a way back.

    `transform` is SimpleITK's, for resampling: from the earlier visit's points (`forward`), or from the later one's.
    """

    warp: Warp
    transform: Any
    forward: bool = True


def bent_by_itk(transform: Any, name: str, *, forward: bool) -> Bent:
    """SimpleITK's transform called `name`, whose points go from the earlier visit to the later one, or back."""
    warp = itk_warp(transform)
    back = inverse_of(warp, name)
    checked = checked_both_ways(*((warp, back) if forward else (back, warp)), name)

    def reached(points: Float) -> Float:
        there = checked(points)
        check_reached(transform, points if forward else there, name)
        return there

    return Bent(reached, transform, forward)


def itk_warp(transform: Any) -> Warp:
    """The points' way through a SimpleITK transform, which is of LPS mm."""
    flip = LPS_FROM_RAS[:3, :3]

    def warp(points: Float) -> Float:
        return np.array([transform.TransformPoint(tuple(point)) for point in points @ flip]).reshape(-1, 3) @ flip

    return warp


def inverse_of(warp: Warp, name: str) -> Warp:
    """The way back, by Newton's method: to 0.01 mm within 50 steps.

    Raises, where it is called:
        VolumeError: there is none at a point, as where the transform `name` folds or tears.
    """

    def back(points: Float) -> Float:
        return np.array([_solved(warp, point, name) for point in points]).reshape(-1, 3)

    return back


def checked_both_ways(warp: Warp, back: Warp, name: str) -> Warp:
    """A warp that is refused at points where it turns space inside out, or that its way back does not bring home.

    Home is within 0.1 mm.

    Raises, where it is called:
        VolumeError: as said.
    """

    def checked(points: Float) -> Float:
        there = warp(points)
        if not np.isfinite(there).all() or np.abs(back(there) - points).max(initial=0.0) > 10 * INVERSE_MM:
            raise _refusal(name)
        if any(np.linalg.det(linear_part(warp, point)) < _FLAT for point in points):
            raise _refusal(name)
        return there

    return checked


def field_of(warp: Warp, grids: Sequence[Grid]) -> Any:
    """A warp as SimpleITK's displacement field over all of some grids, on 24 nodes along each axis."""
    sitk = simpleitk()
    corners = np.concatenate([grid.to_ras(corners_ijk(grid.shape)) for grid in grids])
    low, high = corners.min(axis=0), corners.max(axis=0)
    steps = (high - low) / (_NODES - 1)
    nodes = low + np.moveaxis(np.indices((_NODES,) * 3), 0, -1) * steps
    moved = (warp(nodes.reshape(-1, 3)) - nodes.reshape(-1, 3)).reshape(nodes.shape) @ LPS_FROM_RAS[:3, :3]
    # ITK's axes run to left, posterior, superior: the first two are counted from the other end.
    image = sitk.GetImageFromArray(np.ascontiguousarray(moved[::-1, ::-1].transpose(2, 1, 0, 3)), isVector=True)
    image.SetOrigin([-float(high[0]), -float(high[1]), float(low[2])])
    image.SetSpacing([float(step) for step in steps])
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def linear_part(warp: Warp, point: Float, reach_mm: Any = _STEP_MM) -> Float:
    """The matrix (3, 3) by which a warp turns and stretches what is around a point, over a reach along each axis."""
    reach = np.diag(np.broadcast_to(np.asarray(reach_mm, dtype=np.float64), 3))
    ends = warp(np.concatenate([point + reach, point - reach]))
    return np.asarray((ends[:3] - ends[3:]).T / (2 * np.diag(reach)))


def _solved(warp: Warp, wanted: Float, name: str) -> Float:
    """The point that a warp takes to the one that is wanted."""
    point = np.array(wanted, dtype=np.float64)
    for _ in range(_MOST_STEPS):
        off = warp(point[None])[0] - wanted
        if not np.isfinite(off).all():
            break
        slope = linear_part(warp, point)
        if np.linalg.det(slope) < _FLAT:
            break
        if np.abs(off).max() < INVERSE_MM / 10:
            return point
        point = point - np.linalg.solve(slope, off)
    raise _refusal(name)


def _refusal(name: str) -> VolumeError:
    return VolumeError(
        "The transform '{name}' folds or tears where a lesion lies, whose place is not certain; give another one.",
        name=name,
    )
