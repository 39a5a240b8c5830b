"""From the positions of a series' slices to their order and their grid, or to the sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid

_TILT_TOLERANCE = 1e-3  # sine of the angle between the slices' normal and the line on which they lie
SAME_PLACE_MM = 1e-3
_ORIENTATION_TOLERANCE = 1e-3
_EXACT_MM = 0.01
_ROUNDED_MM = 0.1  # a position may have been rounded to a tenth of a millimeter: it is then off by half of that


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in their order: `order` (n,) are indices of the slices as given; the grid is (columns, rows, slices)."""

    order: NDArray[np.intp]
    grid: Grid


def stack_slices(
    positions: Float, orientations: Float, *, spacing: tuple[float, float], size: tuple[int, int]
) -> Stack:
    """The order of the slices along their normal, and the grid (columns, rows, slices) they make in that order.

    Args:
        positions: (n, 3), the center of each slice's first voxel in LPS mm, in any order.
        orientations: (m, 2, 3), the directions in which the column and the row index grow; all must agree.
        spacing: mm between voxels along these two directions.
        size: columns and rows.

    Raises:
        VolumeError: there are fewer than two slices, or they are doubled, missing, uneven, tilted or turned apart.
    """
    if len(positions) < 2:
        raise VolumeError("The series has a single slice; choose a series of two slices or more.")
    axes = _common_axes(orientations)
    normal = np.cross(axes[0], axes[1])
    order = np.argsort(positions @ normal, kind="stable")
    ordered = positions[order]
    _check_distances(ordered, normal)
    step = (ordered[-1] - ordered[0]) / (len(ordered) - 1)
    _check_tilt(step, normal, count=len(ordered))
    start = ordered[0]
    if _check_line(ordered, step, normal) > _EXACT_MM:
        start, step = _fitted_line(ordered)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = axes[0] * spacing[0], axes[1] * spacing[1], step
    lps[:3, 3] = start
    return Stack(order, Grid((*size, len(ordered)), LPS_FROM_RAS @ lps))


def _common_axes(orientations: Float) -> Float:
    """The one pair of unit directions (2, 3)."""
    if not len(orientations):
        raise VolumeError("The series does not say how its slices lie in the patient; export it with its orientation.")
    turned = np.abs(orientations - orientations[0]).max(axis=(1, 2)) > _ORIENTATION_TOLERANCE
    if turned.any():
        raise VolumeError(
            f"The series mixes orientations: {turned.sum()} of {len(turned)} slices are turned against the first; "
            "export each orientation as a series of its own."
        )
    lengths = np.linalg.norm(orientations[0], axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or lengths.min() < 0.5:
        raise VolumeError("The series has slice directions of length zero; export it again with its orientation.")
    return np.asarray(orientations[0] / lengths)


def _check_distances(ordered: Float, normal: Float) -> None:
    """Refuse doubled slices, and gaps that differ from the usual one by more than rounded positions explain."""
    gaps = np.diff(ordered @ normal)
    close = gaps < SAME_PLACE_MM
    if close.any():
        doubled = int((np.append(close, False) | np.append(False, close)).sum())
        at = _place(ordered[int(gaps.argmin())], normal)
        raise VolumeError(
            f"{doubled} of the {len(ordered)} slices share their place with another ({at} for one), and nothing tells "
            "them apart; export one phase or time point as a series of its own."
        )
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > _tolerance(usual))
    if odd.size:
        raise VolumeError(_uneven_sentence(ordered, normal, gaps=gaps, first=int(odd[0]), usual=usual))


def _uneven_sentence(ordered: Float, normal: Float, *, gaps: Float, first: int, usual: float) -> str:
    where = _place(ordered[first], normal)
    jump = f"Slice spacing jumps from {usual:.4g} to {gaps[first]:.4g} mm after the slice at {where}"
    missing = round(float(gaps[first]) / usual) - 1
    if missing > 0 and abs(gaps[first] - (missing + 1) * usual) <= 2 * _tolerance(usual):
        slices = "a slice seems" if missing == 1 else f"{missing} slices seem"
        return f"{jump}; {slices} missing, so export the series again with all of its slices."
    return f"{jump}; resample the series to even spacing first."


def _fitted_line(ordered: Float) -> tuple[Float, Float]:
    """Start and mean step of rounded positions, fitted to all of them: the ends may be the ones that are most off."""
    places = np.arange(len(ordered)) - (len(ordered) - 1) / 2
    step = np.asarray(places @ ordered / (places @ places))
    return np.asarray(ordered.mean(axis=0) + places[0] * step), step


def _check_tilt(step: Float, normal: Float, *, count: int) -> None:
    length = float(np.linalg.norm(step))
    aside = float(np.linalg.norm(step - normal * (step @ normal)) / length)
    if aside > max(_TILT_TOLERANCE, _ROUNDED_MM / (length * (count - 1))):
        raise VolumeError(
            f"The slices are tilted by {np.degrees(np.arcsin(min(aside, 1.0))):.1f} degrees against the table (gantry "
            "tilt); straighten the series before loading it, in Slicer by loading it with its acquisition transform."
        )


def _check_line(ordered: Float, step: Float, normal: Float) -> float:
    """Refuse slices off their place on the regular line, sideways or by a spacing that drifts; the worst mm."""
    expected = ordered[0] + np.arange(len(ordered))[:, None] * step
    off = np.linalg.norm(ordered - expected, axis=1)
    worst = int(off.argmax())
    if off[worst] > _tolerance(float(np.linalg.norm(step))):
        raise VolumeError(
            f"The slice at {_place(ordered[worst], normal)} lies {off[worst]:.2g} mm from its place in an evenly "
            "spaced stack; resample the series to even spacing first."
        )
    return float(off[worst])


def _tolerance(usual: float) -> float:
    """How far a gap or a place may be off: rounding to a tenth of a millimeter, but never half a step."""
    return min(1.05 * _ROUNDED_MM, 0.45 * usual)


def _place(position_lps: Float, normal: Float) -> str:
    """Where a slice lies, by the patient axis nearest its normal, for example "S = -312.5 mm"."""
    axis = int(np.abs(normal).argmax())
    return f"{'RAS'[axis]} = {float((LPS_FROM_RAS[:3, :3] @ position_lps)[axis]):.1f} mm"
