"""Two classical interactive methods under the same clicks as the models, for an honest comparison.

Both work in a region of interest: `REACH_MM` beyond the positive clicks, as a user would crop before using them. Clicks
are ((i, j, k), positive) as `prompts.simulation` gives them, at least one of them positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import PromptError
from inference_core.geometry.grid import squared_lengths
from inference_core.prompts.simulation import Spacing, Voxel

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Clicks = Sequence[tuple[Voxel, bool]]

REACH_MM = 50.0
_BRUSH_MM = 3.0
_NEIGHBORS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


def confidence_connected(
    image: NDArray[Any], spacing: Spacing, clicks: Clicks, *, multiplier: float = 1.8, iterations: int = 3
) -> Mask:
    """Region growing from the positive clicks: ITK's ConfidenceConnected after its customary curvature-flow smoothing.

    A negative click takes away what is nearer to it, in mm, than to any positive click, and then whatever no longer
    hangs together with a positive one. Holes are filled. Of 18 settings tried, the defaults had the best mean Dice
    after three clicks on the phantom's tumors, a liver metastasis and a sarcoma. image (i, j, k), spacing in mm;
    returns a mask (i, j, k).

    Raises:
        PromptError: there is no positive click.
    """
    import SimpleITK as sitk
    from scipy import ndimage

    region = _region(image, spacing, clicks)
    seeds = [_within(region, voxel) for voxel, positive in clicks if positive]
    picture = sitk.GetImageFromArray(np.ascontiguousarray(image[region].T, dtype=np.float32))
    picture.SetSpacing(spacing)
    smooth = sitk.CurvatureFlow(picture, timeStep=0.05, numberOfIterations=5)
    grown = sitk.ConfidenceConnected(
        smooth, [list(seed) for seed in seeds], numberOfIterations=iterations, multiplier=multiplier,
        initialNeighborhoodRadius=1, replaceValue=1,
    )  # fmt: skip
    mask = sitk.GetArrayFromImage(grown).T > 0
    mask &= _nearer_to_positive(region, spacing, clicks)
    labels, _ = ndimage.label(mask)
    kept = np.isin(labels, [labels[seed] for seed in seeds if labels[seed]])
    return _whole(ndimage.binary_fill_holes(kept), region, image.shape)


def grow_from_seeds(image: NDArray[Any], spacing: Spacing, clicks: Clicks) -> Mask:
    """Fast GrowCut, the method of Slicer's "Grow from seeds": Zhu et al., IMIC workshop, MICCAI 2014.

    Each voxel joins the seed from which it is reached over the smallest sum of intensity steps between neighbors. A
    click paints a ball of 3 mm radius; the faces of the region of interest are background, as a user would paint around
    the target.
    image (i, j, k), spacing in mm; returns a mask (i, j, k).

    Raises:
        PromptError: there is no positive click.
    """
    from scipy.sparse import csgraph

    region = _region(image, spacing, clicks)
    values = np.ascontiguousarray(image[region], dtype=np.float32)
    seeds = _seeds(region, spacing, clicks)
    painted = np.flatnonzero(seeds)
    _, _, nearest = csgraph.dijkstra(
        _steps(values), directed=False, indices=painted, min_only=True, return_predecessors=True
    )
    reached = nearest >= 0
    mask = np.zeros(values.size, dtype=np.bool_)
    mask[reached] = seeds.ravel()[nearest[reached]] == 1
    return _whole(mask.reshape(values.shape), region, image.shape)


def _region(image: NDArray[Any], spacing: Spacing, clicks: Clicks) -> tuple[slice, ...]:
    """The region of interest around the positive clicks, cut at the image's border."""
    positive = np.array([voxel for voxel, sign in clicks if sign], dtype=np.int64).reshape(-1, 3)
    if not len(positive):
        raise PromptError("There are only background clicks; place at least one foreground click on the target.")
    margin = np.ceil(REACH_MM / np.asarray(spacing)).astype(np.int64)
    low = np.maximum(positive.min(axis=0) - margin, 0)
    high = np.minimum(positive.max(axis=0) + margin + 1, image.shape)
    return tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))


def _within(region: tuple[slice, ...], voxel: Voxel) -> Voxel:
    i, j, k = (index - part.start for index, part in zip(voxel, region, strict=True))
    return i, j, k


def _distance_mm(voxel: Voxel, region: tuple[slice, ...], spacing: Spacing) -> Float32:
    """Distance of every voxel of a region to one voxel of the image, in mm."""
    offsets = [
        (np.arange(part.start, part.stop, dtype=np.float32) - index) * np.float32(step)
        for part, index, step in zip(region, voxel, spacing, strict=True)
    ]
    return np.asarray(np.sqrt(squared_lengths(offsets)), dtype=np.float32)


def _nearer_to_positive(region: tuple[slice, ...], spacing: Spacing, clicks: Clicks) -> Mask:
    """Where in a region the nearest click is a positive one."""
    nearest = {
        sign: np.min([_distance_mm(voxel, region, spacing) for voxel, positive in clicks if positive == sign], axis=0)
        for sign in {positive for _, positive in clicks}
    }
    return np.asarray(nearest[True] <= nearest.get(False, np.float32(np.inf)))


def _seeds(region: tuple[slice, ...], spacing: Spacing, clicks: Clicks) -> NDArray[np.uint8]:
    """Painted seeds in a region: 0 none, 1 target, 2 background; later strokes cover earlier ones."""
    seeds = np.full([part.stop - part.start for part in region], 2, dtype=np.uint8)
    seeds[1:-1, 1:-1, 1:-1] = 0
    for voxel, positive in clicks:
        seeds[_distance_mm(voxel, region, spacing) <= _BRUSH_MM] = 1 if positive else 2
    return seeds


def _steps(values: Float32) -> Any:
    """The graph of neighboring voxels (26 each), weighted by their difference in intensity, as a sparse matrix."""
    from scipy import sparse

    index = np.arange(values.size, dtype=np.int32).reshape(values.shape)
    starts, ends, weights = [], [], []
    for step in _NEIGHBORS:
        here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(step, values.shape, strict=True))
        there = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(step, values.shape, strict=True))
        starts.append(index[here].ravel())
        ends.append(index[there].ravel())
        # A weight of zero would mean "no edge" to the solver.
        weights.append((np.abs(values[here] - values[there]) + np.float32(1e-3)).ravel())
    edges = (np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends)))
    return sparse.csr_array(edges, shape=(values.size, values.size))


def _whole(part: Mask, region: tuple[slice, ...], shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[region] = part
    return mask
