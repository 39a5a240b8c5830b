"""Regions of real images as targets: what hangs together without an edge is a target, named or not.

They teach that an answer ends at an edge, whatever the tissue (supervoxels as pseudo-labels: ScribblePrompt, Wong et
al. 2024; nnInteractive, Isensee et al. 2025). A region is a basin of the gradient (watershed at a random flood level),
often joined with the neighbors that look most alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

from inference_core.training.synthetic import Array, Mask, Sample

_SMALLEST, _LARGEST_SHARE = 12, 0.35
_LEVELS = (0.02, 0.6)
_MOST_MERGES = 4
_TRIES = 4


def region_sample(rng: np.random.Generator, window: Callable[[], Array]) -> Sample:
    """A window and a region of it; another window is asked for while one has no region of a usable size."""
    while True:
        image = window()
        for _ in range(_TRIES):
            target = random_region(rng, image)
            if target is not None:
                return Sample(image, target, float(target.sum()))


def random_region(rng: np.random.Generator, image: Array) -> Mask | None:
    """One region of an image (D, H, W) at a random scale of smoothing and depth; None where none has a usable size."""
    smooth = ndi.gaussian_filter(image, rng.uniform(0.5, 1.5))
    basins = gradient_basins(smooth, level=float(np.exp(rng.uniform(*np.log(_LEVELS)))))
    sizes = np.bincount(basins.ravel())
    most = _LARGEST_SHARE * image.size
    usable = np.flatnonzero((sizes >= _SMALLEST) & (sizes <= most))
    if not len(usable):
        return None
    weights = np.sqrt(sizes[usable])
    region = np.asarray(basins == rng.choice(usable, p=weights / weights.sum()))
    for _ in range(int(rng.integers(0, _MOST_MERGES + 1))):
        joined = with_likest_neighbor(region, basins, smooth)
        if joined.sum() > most:
            break
        region = joined
    return np.asarray(ndi.binary_fill_holes(region))


def gradient_basins(smooth: Array, *, level: float) -> NDArray[np.int64]:
    """Watershed labels from 0 (D, H, W) of the gradient's size.

    Basins that are shallower than `level` of its 95th percentile are joined.
    """
    gradient = np.sqrt(sum(np.gradient(smooth, axis=axis) ** 2 for axis in range(3)))
    gradient = (gradient / (np.percentile(gradient, 95) + 1e-6)).astype(np.float32)
    labels = sitk.MorphologicalWatershed(sitk.GetImageFromArray(gradient), level=level, markWatershedLine=False)
    return sitk.GetArrayFromImage(labels).astype(np.int64) - 1


def with_likest_neighbor(region: Mask, basins: NDArray[np.int64], image: Array) -> Mask:
    """The region joined with the basin at its rim whose mean is nearest to its own; the same where it has no rim."""
    rim = np.unique(basins[ndi.binary_dilation(region) & ~region])
    if not len(rim):
        return region
    means = ndi.mean(image, basins, rim)
    return np.asarray(region | (basins == rim[np.argmin(np.abs(means - image[region].mean()))]))
