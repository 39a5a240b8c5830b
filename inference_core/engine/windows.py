"""Where to look: windows chosen from the prompts alone, never from the answer.

A window's axes are the volume's own, reordered and flipped to be nearest to right, anterior, superior; its voxels are
cubes. The center lies on voxel shape // 2, as SAM-Med3D's crop places a click.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.geometry.grid import Float, Grid, corners_ijk
from inference_core.geometry.sampling import rescaled
from inference_core.models.spec import WindowSpec
from inference_core.prompts.prompt_set import PromptSet, is_background
from inference_core.prompts.strokes import Scribble

GROWTH = 1.5
MOST_GROWTH = 4.0
BOX_CONTEXT = 1.6
_CLICK_MARGIN = 0.08
_COARSEST_UPSAMPLING = 3.0


def canonical_axes(grid: Grid) -> Float:
    """The grid's axis directions, reordered and flipped to be nearest to RAS: unit columns (3, 3)."""
    chosen = grid.directions[:, list(grid.ras_axes)]
    return np.asarray(chosen * np.where(np.diag(chosen) < 0, -1.0, 1.0))


def window_at(center_ras: ArrayLike, spec: WindowSpec, *, spacing: float, axes: Float) -> Grid:
    """A window of cubic voxels whose voxel shape // 2 lies on a point."""
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = np.asarray(center_ras) - affine[:3, :3] @ (np.asarray(spec.shape) // 2)
    return Grid(spec.shape, affine)


def candidate_windows(
    prompts: PromptSet, spec: WindowSpec, volume: Grid, *, edge_mm: float | None = None
) -> tuple[Grid, ...]:
    """Windows worth looking through for a first answer, finest first: one where a box or mask tells the size.

    One also where the user says by `edge_mm` how far to look: that wide, or as near to it as the model's spacings
    allow, and as wide as the clicks need.
    """
    axes = canonical_axes(volume)
    low, high, sized = _bounds(prompts, axes)
    center = axes @ ((low + high) / 2)
    if sized:
        needed = float(((high - low) * BOX_CONTEXT / np.asarray(spec.shape)).max())
        return (window_at(center, spec, spacing=_fitting_spacing(needed, spec), axes=axes),)
    room = 1 - 2 * _CLICK_MARGIN
    needed = float(((high - low) / (room * np.asarray(spec.shape))).max())
    if edge_mm is not None:
        return (window_at(center, spec, spacing=max(needed, _nearest_spacing(edge_mm, spec)), axes=axes),)
    chosen = [spacing for spacing in spec.spacings if spacing >= needed] or [_fitting_spacing(needed, spec)]
    windows = [window_at(center, spec, spacing=spacing, axes=axes) for spacing in _useful(chosen, spec, volume)]
    return tuple(windows)


def holds(window: Grid, prompts: PromptSet) -> bool:
    """Whether every foreground prompt lies inside the window, clicks with a margin."""
    shape = np.asarray(window.shape)
    clicks = window.to_ijk(np.array([click.ras for click in prompts.clicks if click.positive]).reshape(-1, 3))
    margin = _CLICK_MARGIN * shape
    strokes = [point for stroke in prompts.strokes if not is_background(stroke) for point in stroke.points_ras]
    held = [*(corner for box in prompts.boxes for corner in box.corners_ras), *strokes]
    corners = window.to_ijk(np.array(held).reshape(-1, 3))
    clicks_in = np.all((clicks >= margin - 0.5) & (clicks <= shape - 0.5 - margin))
    return bool(clicks_in and np.all((corners >= -0.5) & (corners <= shape - 0.5)))


def has_room(window: Grid, volume: Grid | None, center_ras: ArrayLike, *, room_mm: float) -> bool:
    """Whether a ball lies inside a window, but for where the window reaches beyond the volume."""
    steps = np.asarray(window.spacing)
    center = window.to_ijk(center_ras)
    low, high = -0.5 * np.ones(3), np.asarray(window.shape) - 0.5
    if volume is not None:
        corners = window.to_ijk(volume.to_ras(corners_ijk(volume.shape)))
        low = np.where(corners.min(axis=0) >= low, -np.inf, low)
        high = np.where(corners.max(axis=0) <= high, np.inf, high)
    return bool(((center - low) * steps >= room_mm).all() and ((high - center) * steps >= room_mm).all())


def grown(window: Grid, spec: WindowSpec, center_ras: ArrayLike, prompts: PromptSet) -> Grid | None:
    """The next wider window, moved towards a center as far as the prompts stay inside; None at the widest."""
    spacing = window.spacing[0] * GROWTH
    if spacing > spec.spacings[-1] * MOST_GROWTH + 1e-6:
        return None
    axes = window.affine[:3, :3] / np.asarray(window.spacing)
    moved = window_at(center_ras, spec, spacing=spacing, axes=axes)
    if holds(moved, prompts):
        return moved
    return window_at(window.to_ras(np.asarray(window.shape) // 2), spec, spacing=spacing, axes=axes)


def touched_faces(inside: NDArray[np.bool_], window: Grid, volume: Grid, *, least_share: float = 0.005) -> bool:
    """Whether a mask (of any resolution over the window) reaches a window face that the volume continues behind."""
    grid = rescaled(window, inside.shape)
    for axis in range(3):
        least = max(4, int(least_share * np.take(inside, 0, axis=axis).size))
        for index, beyond in ((0, -1), (inside.shape[axis] - 1, inside.shape[axis])):
            voxels = np.argwhere(np.take(inside, index, axis=axis))
            if len(voxels) < least:
                continue
            outer = volume.to_ijk(grid.to_ras(np.insert(voxels, axis, beyond, axis=1)))
            within = np.all((outer >= -0.5) & (outer <= np.asarray(volume.shape) - 0.5), axis=1)
            if within.sum() >= least:
                return True
    return False


def windows_over(low_ijk: ArrayLike, high_ijk: ArrayLike, window: Grid, *, spacing: float) -> tuple[Grid, ...]:
    """Windows of a finer spacing that together cover voxels low..high (inclusive) of a window, overlapping evenly."""
    shape = np.asarray(window.shape)
    scale = spacing / window.spacing[0]
    low, high = np.asarray(low_ijk) - 0.5, np.asarray(high_ijk) + 0.5
    span = shape * scale
    usable = 0.75 * span
    counts = np.maximum(1, np.ceil((high - low - (span - usable)) / usable)).astype(int)
    starts = [_starts(low[a], high[a], span=span[a], count=counts[a]) for a in range(3)]
    windows = []
    for corner in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3):
        affine = window.affine.copy()
        affine[:3, :3] = window.affine[:3, :3] * scale
        affine[:3, 3] = window.to_ras(corner + 0.5 * scale)
        windows.append(Grid(window.shape, affine))
    return tuple(windows)


def _starts(low: float, high: float, *, span: float, count: int) -> Float:
    if count == 1:
        return np.array([(low + high - span) / 2])
    overhang = 0.125 * span
    return np.linspace(low - overhang, high + overhang - span, count)


def _bounds(prompts: PromptSet, axes: Float) -> tuple[Float, Float, bool]:
    """Extent of the prompts along the axes (mm), and whether a box or a mask says how large the target is."""
    points = [np.array([click.ras]) for click in prompts.clicks if click.positive]
    sized = [box.corners_ras for box in prompts.boxes]
    for stroke in prompts.strokes:
        if isinstance(stroke, Scribble):
            points += [np.array(stroke.points_ras)] if stroke.positive else []
        elif not is_background(stroke):
            sized.append(_ball_around(np.array(stroke.points_ras), axes))
    if prompts.initial_mask is not None:
        voxels = np.argwhere(prompts.initial_mask.array)
        if len(voxels):
            sized.append(prompts.initial_mask.grid.to_ras(voxels))
    along = np.concatenate(points + sized) @ axes
    return along.min(axis=0), along.max(axis=0), bool(sized)


def _ball_around(points: Float, axes: Float) -> Float:
    """Two corners (2, 3) of the cube that a line, or an outline in one slice, spans: its depth is as its extent."""
    along = points @ axes
    center = (along.min(axis=0) + along.max(axis=0)) / 2
    radius = np.linalg.norm(along - center, axis=1).max()
    return np.stack([axes @ (center - radius), axes @ (center + radius)])


def _fitting_spacing(needed: float, spec: WindowSpec) -> float:
    finest, coarsest = spec.spacings[0], spec.spacings[-1] * MOST_GROWTH
    if spec.any_spacing:
        return float(np.clip(needed, finest, coarsest))
    spacing = finest
    while spacing < needed / BOX_CONTEXT * 1.1 and spacing * GROWTH <= coarsest + 1e-6:
        spacing *= GROWTH
    return spacing


def _nearest_spacing(edge_mm: float, spec: WindowSpec) -> float:
    wanted = edge_mm / max(spec.shape)
    if spec.any_spacing:
        return float(np.clip(wanted, spec.spacings[0], spec.spacings[-1] * MOST_GROWTH))
    return min(spec.spacings, key=lambda spacing: abs(spacing - wanted))


def _useful(spacings: list[float], spec: WindowSpec, volume: Grid) -> list[float]:
    """Leave out spacings far finer than the voxels, and those wider than one that already shows the whole volume."""
    voxel = volume.voxel_volume_mm3 ** (1 / 3)
    fine_enough = [spacing for spacing in spacings if spacing * _COARSEST_UPSAMPLING >= voxel] or spacings[-1:]
    size_mm = np.abs(np.ptp(volume.to_ras(corners_ijk(volume.shape)) @ canonical_axes(volume), axis=0))
    showing_all = [spacing for spacing in fine_enough if (spacing * np.asarray(spec.shape) >= 1.3 * size_mm).all()]
    return [spacing for spacing in fine_enough if not showing_all or spacing <= showing_all[0]]
