"""A windowed prediction's logits on a volume's voxels, computed box by box: only where they are asked for.

Interpolation and weighted means stay between the smallest and the largest value that they are made of. A box whose
cells all lie on one side of the threshold therefore lies on it as well, and none of its voxels need be computed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.local_correction import FADING, Reach, fading, mixed
from inference_core.engine.windowed_prediction import FAR_OUTSIDE, LogitLayer, PromptGroup, WindowedPrediction
from inference_core.geometry.axes import SeparableSampling, matching_axes
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import extent_on, extent_within
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
        self.box = VoxelBox.whole(region.shape)
        self._parts = [_field_of(group, region) for group in prediction]
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


class HeldBackGroup:
    """A group whose last correction counts only in its reach; elsewhere the answer before it holds."""

    def __init__(
        self, group: PromptGroup, before: ResampledGroup | HeldBackGroup, *, reach: Reach, region: Grid
    ) -> None:
        self._after, self._before, self._reach, self._region = ResampledGroup(group, region), before, reach, region
        self.box: VoxelBox = self._after.box.joined(before.box)
        self._window = group.base.window
        faded = FADING * np.asarray(self._window.shape) * (np.asarray(self._window.shape) > 1)
        self._unfaded = VoxelBox(*extent_within(self._window, faded, region))

    def logits(self, box: VoxelBox) -> Float32:
        """The logits of a box of voxels, far outside beyond all windows."""
        counts = self._counts(box)
        if counts is not None:
            return _logits_within(self._after if counts else self._before, box)
        voxels = self._region.cropped(box.start, box.stop)
        weights = self._reach.weights_in(self._region, box) * fading(self._window, voxels)
        return mixed(_logits_within(self._after, box), _logits_within(self._before, box), weights)

    def bounds(self, box: VoxelBox) -> tuple[float, float]:
        """Two logits that those of a box lie between."""
        counts = self._counts(box)
        asked = (self._after, self._before) if counts is None else (self._after if counts else self._before,)
        found = [_bounds_within(group, box) for group in asked]
        return min(low for low, _ in found), max(high for _, high in found)

    def _counts(self, box: VoxelBox) -> bool | None:
        """Whether the correction counts in full in a box (True) or nowhere in it; None where it takes computing."""
        counts = self._reach.covers(self._region, box)
        if box.within(self._after.box) is None:
            return False
        shared = box.within(self._unfaded)
        return None if counts and (shared is None or shared.shape != box.shape) else counts


def _field_of(group: PromptGroup, region: Grid) -> ResampledGroup | HeldBackGroup:
    if group.earlier is None or group.reach is None:
        return ResampledGroup(group, region)
    return HeldBackGroup(group, _field_of(group.earlier, region), reach=group.reach, region=region)


def _logits_within(group: ResampledGroup | HeldBackGroup, box: VoxelBox) -> Float32:
    """The logits of a box of voxels that may reach beyond the group's windows."""
    logits = np.full(box.shape, FAR_OUTSIDE, dtype=np.float32, order="F")
    shared = box.within(group.box)
    if shared is not None:
        logits[shared.slices(box.start)] = group.logits(shared)
    return logits


def _bounds_within(group: ResampledGroup | HeldBackGroup, box: VoxelBox) -> tuple[float, float]:
    shared = box.within(group.box)
    if shared is None:
        return FAR_OUTSIDE, FAR_OUTSIDE
    low, high = group.bounds(shared)
    return (low if shared.shape == box.shape else min(low, FAR_OUTSIDE)), high


class ResampledLayer:
    """One layer's logits; far outside beyond its window, which lies along the volume's axes."""

    def __init__(self, layer: LogitLayer, region: Grid) -> None:
        step = layer.cells.inverse @ region.affine
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
