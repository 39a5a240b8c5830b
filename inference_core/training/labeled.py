"""Windows cut at random from labeled volumes: any scale, any orientation, the target anywhere in the window.

The sarcoma training images are themselves cropped around the tumor; windows that reach beyond the crop are mirrored,
as they are at inference, so that the crop's edge tells nothing. A target that the edge cuts goes on in the mirror.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from inference_core.geometry.grid import Float, Grid, corners_ijk, isotropic_grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import sample_window
from inference_core.geometry.volume import Volume
from inference_core.training.data.cases import Case
from inference_core.training.samples import values_of
from inference_core.training.synthetic import Array, Sample, smooth_noise

SPACING_RANGE_MM = (0.75, 5.0)
# Window edge over target diameter: what a user's click mostly meets, and all that choosing a scale must judge.
_USUAL_WINDOWS = (0.9, 4.0)
_ALL_WINDOWS = (0.4, 9.0)
# A quarter of the windows lie as a box asks for them: its own edge and that of the window about it, as boxes are loose.
_BOXED, _BOX_WINDOWS = 0.25, (1.4, 2.6)
_SMALLEST = 12
# A target of fewer voxels is a sliver at the image's edge.
_SLIVER = 60


@dataclass(frozen=True, eq=False)
class LabeledVolume:
    """An image and its target on the same grid.

    `interior_ras` (n, 3) are target points to center windows on, `corners_ras` (8, 3) those of its bounding box.
    """

    image: Volume
    target: Volume
    interior_ras: Float
    corners_ras: Float
    volume_mm3: float

    @property
    def diameter_mm(self) -> float:
        """Of a ball of the target's volume."""
        return float(2 * (3 * self.volume_mm3 / (4 * np.pi)) ** (1 / 3))

    def target_in(self, window: Grid) -> NDArray[np.bool_]:
        """The target's voxels in the window, and what hangs together with them in the mirror beyond the edge."""
        inside = sample_window(self.target, window, reflect=False) > 0.5
        pieces, _ = ndi.label(sample_window(self.target, window, reflect=True) > 0.5)
        return np.asarray(inside | (np.isin(pieces, np.unique(pieces[inside])) & (pieces > 0)))

    @classmethod
    def of(cls, volume: Volume, mask: NDArray[np.bool_]) -> LabeledVolume:
        """An image, and its target as a mask of the image's shape that is not empty."""
        target = Volume(mask.astype(np.uint8), volume.grid, volume.name)
        return cls(volume, target, *_facts(volume.grid, mask))


ARRAYS = ("image", "labels", "affine", "values", "corners", "sizes", "interior", "owners")
"""Of a case with n targets: voxels (Z, Y, X) and labels as they are, the affine, the label of each target (n,), the
corners (n, 8, 3) of their boxes, their sizes in mm3 (n,), and their inner points (m, 3) with each one's target (m,)."""


def prepared_targets(case: Case, classes: Sequence[int] = ()) -> dict[str, NDArray[Any]]:
    """`ARRAYS` of every value of a case's label map, of those asked for, as a target; slivers are left out.

    Raises:
        VolumeError: a file cannot be read, or image and label map differ in shape; the message names the case.
    """
    volume, labels = case.read(), case.read_labels().array
    values = values_of(labels, classes, least=_SLIVER)
    facts = [_facts(volume.grid, np.ascontiguousarray(labels == value)) for value in values]
    inner = [interior for interior, _, _ in facts]
    return {
        "image": volume.array.T, "labels": labels.T, "affine": volume.grid.affine, "values": values,
        "corners": np.array([corners for _, corners, _ in facts]).reshape(-1, 8, 3),
        "sizes": np.array([size for _, _, size in facts]),
        "interior": np.concatenate([np.empty((0, 3)), *inner]),
        "owners": np.repeat(np.arange(len(inner)), [len(points) for points in inner]),
    }  # fmt: skip


def targets_from(prepared: Mapping[str, NDArray[Any]], name: str) -> tuple[LabeledVolume, ...]:
    """The targets of a case of that name, of what `prepared_targets` made of it."""
    image, labels = prepared["image"].T, prepared["labels"].T
    i, j, k = image.shape
    grid = Grid((i, j, k), np.array(prepared["affine"]))
    volume = Volume(image, grid, name)
    return tuple(
        LabeledVolume(
            volume,
            Volume(np.ascontiguousarray(labels == value).astype(np.uint8), grid, name),
            np.array(prepared["interior"][prepared["owners"] == n]),
            np.array(prepared["corners"][n]),
            float(prepared["sizes"][n]),
        )
        for n, value in enumerate(prepared["values"])
    )


def targets_of(case: Case, classes: Sequence[int] = ()) -> tuple[LabeledVolume, ...]:
    """Every value of a case's label map, of those asked for, as a target of its own; slivers are left out.

    Raises:
        VolumeError: as `prepared_targets`.
    """
    return targets_from(prepared_targets(case, classes), case.name)


def _facts(grid: Grid, mask: NDArray[np.bool_]) -> tuple[Float, Float, float]:
    """Inner points of a mask (n, 3) and the corners of its box (8, 3), RAS mm, and its size in mm3."""
    around = _bounds(mask)
    depth = ndi.distance_transform_edt(mask[around], sampling=grid.spacing)
    interior = (np.argwhere(depth >= 0.4 * depth.max()) + [edge.start for edge in around])[::7]
    held = grid.cropped([edge.start for edge in around], [edge.stop for edge in around])
    size_mm3 = float(mask.sum() * grid.voxel_volume_mm3)
    return grid.to_ras(interior), held.to_ras(corners_ijk(held.shape)), size_mm3


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The part of an image that holds a mask, and a voxel around it where the image goes on."""
    box = VoxelBox.over(mask)
    assert box is not None, "the mask holds something"
    return VoxelBox(np.maximum(box.start - 1, 0), box.stop + 1).slices()


def labeled_sample(rng: np.random.Generator, volumes: Sequence[LabeledVolume], size: int) -> Sample:
    """A window around a random place of a random target, from much smaller than the target to much larger."""
    while True:
        case = volumes[int(rng.integers(len(volumes)))]
        window = _boxed_window(rng, case, size) if rng.random() < _BOXED else _any_window(rng, case, size)
        spacing = window.spacing[0]
        target = case.target_in(window)
        if target.sum() >= _SMALLEST and target.mean() < 0.95:
            whole = max(float(target.sum()), case.volume_mm3 / spacing**3)
            return Sample(sample_window(case.image, window, reflect=True), target, whole)


def _any_window(rng: np.random.Generator, case: LabeledVolume, size: int) -> Grid:
    low, high = _USUAL_WINDOWS if rng.random() < 0.55 else _ALL_WINDOWS
    ratio = np.exp(rng.uniform(np.log(low), np.log(high)))
    spacing = float(np.clip(ratio * case.diameter_mm / size, *SPACING_RANGE_MM))
    center = case.interior_ras[int(rng.integers(len(case.interior_ras)))]
    return random_window(rng, center + rng.uniform(-0.3, 0.3, 3) * size * spacing, size=size, spacing=spacing)


def _boxed_window(rng: np.random.Generator, case: LabeledVolume, size: int) -> Grid:
    """A window as a box or a line asks for it: about the target's center, and so much wider than the target."""
    extent = float(np.ptp(case.corners_ras, axis=0).max())
    center = case.corners_ras.mean(axis=0) + rng.uniform(-0.1, 0.1, 3) * extent
    spacing = float(np.clip(rng.uniform(*_BOX_WINDOWS) * extent / size, *SPACING_RANGE_MM))
    return random_window(rng, center, size=size, spacing=spacing)


def background_window(rng: np.random.Generator, volumes: Sequence[LabeledVolume], size: int) -> Array:
    """A window of real tissue anywhere in a random volume."""
    case = volumes[int(rng.integers(len(volumes)))]
    center = case.image.grid.to_ras(rng.uniform(0.2, 0.8, 3) * np.asarray(case.image.grid.shape))
    spacing = float(np.exp(rng.uniform(np.log(0.8), np.log(3.0))))
    return sample_window(case.image, random_window(rng, center, size=size, spacing=spacing), reflect=True)


def random_window(rng: np.random.Generator, center_ras: Float, *, size: int, spacing: float) -> Grid:
    """A cubic window turned to a random axis order, mirrored or not, and half the time tilted off it."""
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    if rng.random() < 0.5:
        tilt = np.linalg.qr(np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))[0]
        axes = axes @ (tilt * np.sign(np.diag(tilt)))
    return isotropic_grid(center_ras, shape=(size, size, size), spacing=spacing, axes=axes)


def augmented(rng: np.random.Generator, image: Array) -> Array:
    """The image as another scanner might show it: inverted, gamma-curved, shaded, blurred, noisy."""
    low, high = np.percentile(image[::2, ::2, ::2], [0.5, 99.5])
    unit = np.clip((image - low) / (high - low + 1e-6), -0.2, 1.2).astype(np.float32)
    if rng.random() < 0.25:
        unit = 1 - unit
    if rng.random() < 0.5:
        unit = np.sign(unit) * np.abs(unit) ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    if rng.random() < 0.4:
        unit = unit * (1 + np.float32(rng.uniform(0, 0.25)) * smooth_noise(rng, image.shape[0], 3))
    if rng.random() < 0.3:
        unit = ndi.gaussian_filter(unit, rng.uniform(0, 1.5, 3))
    if rng.random() < 0.5:
        unit = unit + np.float32(rng.uniform(0, 0.08)) * rng.standard_normal(unit.shape, dtype=np.float32)
    return np.asarray(unit, dtype=np.float32)
