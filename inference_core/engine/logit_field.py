"""A windowed prediction's logits on a volume's voxels, computed box by box: only where they are asked for.

Interpolation and weighted means stay between the smallest and the largest value that they are made of. A box whose
cells all lie on one side of the threshold therefore lies on it as well, and none of its voxels need be computed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.window_predictor import FAR_OUTSIDE, LogitLayer, PromptGroup, WindowedPrediction
from inference_core.geometry.axes import SeparableSampling, matching_axes
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import extent_on, rescaled
from inference_core.models.interface import Float32

Index = NDArray[np.int64]
FIRM_LOGIT = 4.0
_BASE_WEIGHT = 0.1
_TAPER = 0.125
_ROUNDING = 1e-3
_KERNEL_REACH = 3.5


class LogitField:
    """A windowed prediction's logits less the threshold on the voxels of a region; positive is inside."""

    def __init__(self, prediction: WindowedPrediction, region: Grid, *, threshold: float, smoothing_mm: float) -> None:
        self.box = VoxelBox(np.zeros(3, dtype=np.int64), np.asarray(region.shape))
        self._parts = [ResampledGroup(group, region) for group in prediction]
        self._region, self._threshold = region, threshold
        self._widths = _smoothing(smoothing_mm, prediction, region)
        self._halo = np.ceil(_KERNEL_REACH * self._widths / region.spacing).astype(np.int64)

    @property
    def smooth(self) -> bool:
        """Whether the logits are smoothed, which makes small boxes costly."""
        return bool(self._halo.any())

    def logits(self, box: VoxelBox) -> Float32:
        """The logits of a box of voxels, less the threshold."""
        if not self.smooth:
            return self._raw(box) - np.float32(self._threshold)
        wide = self._with_halo(box)
        smooth = _smoothed(self._raw(wide), self._region.spacing, self._widths)
        return smooth[box.slices(wide.start)] - np.float32(self._threshold)

    def side(self, box: VoxelBox) -> bool | None:
        """Whether a box lies inside (True) or outside (False) with all its voxels; None where it takes computing."""
        wide = self._with_halo(box)
        bounds = [group.bounds(wide) for group in self._parts]
        if max((low for low, _ in bounds), default=FAR_OUTSIDE) > self._threshold + _ROUNDING:
            return True
        outside = max((high for _, high in bounds), default=FAR_OUTSIDE) < self._threshold - _ROUNDING
        return False if outside else None

    def _with_halo(self, box: VoxelBox) -> VoxelBox:
        wide = VoxelBox(box.start - self._halo, box.stop + self._halo).within(self.box)
        assert wide is not None, "boxes lie in the region"
        return wide

    def _raw(self, box: VoxelBox) -> Float32:
        logits = np.full(box.shape, FAR_OUTSIDE, dtype=np.float32, order="F")
        for group in self._parts:
            shared = box.within(group.box)
            if shared is not None:
                here = logits[shared.slices(box.start)]
                np.maximum(here, group.logits(shared), out=here)
        return logits


class ResampledGroup:
    """One group of a windowed prediction: its base, and over it the patches, which weigh more."""

    def __init__(self, group: PromptGroup, region: Grid) -> None:
        self._base = ResampledLayer(group.base, region)
        self._refinement_patches = [ResampledPatch(patch.layer, region) for patch in group.patches]
        boxes = [sheet.box for sheet in (self._base, *self._refinement_patches)]
        self.box = VoxelBox(np.min([box.start for box in boxes], axis=0), np.max([box.stop for box in boxes], axis=0))

    def logits(self, box: VoxelBox) -> Float32:
        base = self._base.logits(box)
        patches = self._patches_in(box)
        if not patches:
            return base
        total, weight = _BASE_WEIGHT * base, np.full_like(base, _BASE_WEIGHT)
        for patch, shared in patches:
            here, share = shared.slices(box.start), patch.share(shared)
            total[here] += share * patch.logits(shared)
            weight[here] += share
        return np.asarray(total / weight, dtype=np.float32)

    def bounds(self, box: VoxelBox) -> tuple[float, float]:
        """Two logits that those of a box lie between."""
        found = [self._base.bounds(box), *(patch.bounds(shared) for patch, shared in self._patches_in(box))]
        return min(low for low, _ in found), max(high for _, high in found)

    def _patches_in(self, box: VoxelBox) -> list[tuple[ResampledPatch, VoxelBox]]:
        return [(patch, shared) for patch in self._refinement_patches if (shared := box.within(patch.box)) is not None]


class ResampledLayer:
    """One layer's logits; far outside beyond its window, which lies along the volume's axes."""

    def __init__(self, layer: LogitLayer, region: Grid) -> None:
        step = rescaled(layer.window, layer.logits.shape).inverse @ region.affine
        axes = matching_axes(step, region.shape)
        assert axes is not None, "windows lie along the volume's axes"
        self._along = SeparableSampling.of(layer.logits, step, region.shape, axes=axes)
        self.box = VoxelBox(*extent_on(layer.window, region))

    def logits(self, box: VoxelBox) -> Float32:
        return self._along.at(box.start, box.stop, outside=FAR_OUTSIDE)

    def bounds(self, box: VoxelBox) -> tuple[float, float]:
        """Two logits that those of a box lie between."""
        if box.within(self.box) is None:
            return FAR_OUTSIDE, FAR_OUTSIDE
        met = self._along.values[self._along.cells(box.start, box.stop)]
        low, high = float(met.min()), float(met.max())
        return (low if self._along.covers(box.start, box.stop) else min(low, FAR_OUTSIDE)), high


class ResampledPatch(ResampledLayer):
    """A patch's logits, which count less towards its faces, so that neighboring patches meet without a step."""

    def __init__(self, layer: LogitLayer, region: Grid) -> None:
        super().__init__(layer, region)
        ramps = [_ramp(size) for size in layer.logits.shape]
        self._profiles = self._along.profiles(ramps)

    def share(self, box: VoxelBox) -> Float32:
        """How much the patch counts: 1 inside, falling to 0 at its faces and beyond."""
        i, j, k = (profile[group] for profile, group in zip(self._profiles, box.slices(), strict=True))
        return (k[:, None, None] * j[:, None] * i).T


@lru_cache(maxsize=4)
def _ramp(size: int) -> Float32:
    cells = np.arange(size)
    ramp = np.minimum(cells + 0.5, size - cells - 0.5) / (_TAPER * size)
    return np.asarray(np.clip(ramp, 0, 1), dtype=np.float32)


def _smoothing(width_mm: float, prediction: WindowedPrediction, region: Grid) -> NDArray[np.float64]:
    """The smoothing along each axis of a region; none across slices that were looked at each by itself."""
    widths = np.full(3, width_mm)
    for window in (group.base.window for group in prediction if 1 in group.base.window.shape):
        across = region.inverse[:3, :3] @ window.affine[:3, window.shape.index(1)]
        widths[np.abs(across).argmax()] = 0.0
    return widths


def _smoothed(logits: Float32, spacing: tuple[float, float, float], widths_mm: NDArray[np.float64]) -> Float32:
    """Logits under a Gaussian; clipped before, since the value beyond all windows would outweigh everything near it."""
    import SimpleITK as sitk

    clipped = np.clip(logits, -FIRM_LOGIT, FIRM_LOGIT)
    image = sitk.GetImageFromArray(np.ascontiguousarray(clipped.T))
    image.SetSpacing(spacing)
    smooth = sitk.DiscreteGaussian(image, [float(width) ** 2 for width in widths_mm], 64, 0.01, True)
    return np.asarray(sitk.GetArrayFromImage(smooth).T, dtype=np.float32)
