"""A grid: an array shape and the affine that places its voxels in the patient.

Frames: `_ijk` are continuous voxel indices in (i, j, k) order, voxel centers at integers; `_ras` are millimeters in the
patient's right-anterior-superior frame; `_lps` is the same with the first two axes negated (ITK, DICOM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.errors import VolumeError

Float = NDArray[np.float64]

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AXIS_NAMES = (("L", "R"), ("P", "A"), ("I", "S"))
SAME_GRID_MM = 0.01
"""How far apart voxels of files may lie and still be the same: formats round."""
_SHEAR_TOLERANCE = 1e-3
_LONGEST_STEP_MM, _FARTHEST_MM = 1e4, 1e7


@dataclass(frozen=True, eq=False)
class HeaderForms:
    """The two placements of a NIfTI header, (4, 4) from ijk to RAS mm or None, and what each of them refers to.

    One file may have both, and programs differ in which they take: a mask with both lies on its image in all of them.
    """

    sform: Float | None
    qform: Float | None
    sform_code: int
    qform_code: int


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape (i, j, k) and affine (4, 4) float64 from ijk to RAS millimeters.

    `forms` are those of the file that the grid was read from, if it was NIfTI; they make no difference to the grid.

    Raises:
        VolumeError: the affine is singular, sheared, not finite, or the shape is not three positive numbers.
    """

    shape: tuple[int, int, int]
    affine: Float
    forms: HeaderForms | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64) + 0.0  # -0.0 becomes 0.0: equal grids hash alike
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        _check(self.shape, affine)

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighboring voxel centers along i, j, k, in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @cached_property
    def inverse(self) -> Float:
        """The (4, 4) matrix from RAS millimeters to ijk."""
        return np.asarray(np.linalg.inv(self.affine), dtype=np.float64)

    @cached_property
    def directions(self) -> Float:
        """Unit vectors along i, j, k as columns, (3, 3) in RAS."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing))

    @cached_property
    def ras_axes(self) -> tuple[int, int, int]:
        """The index axes that lie nearest to right-left, to anterior-posterior and to superior-inferior, each once."""
        # Axis by axis, two axes of a strongly oblique grid could be nearest to the same direction.
        along = np.abs(self.directions)
        r, a, s = max(permutations(range(3)), key=lambda axes: along[range(3), axes].sum())
        return r, a, s

    @cached_property
    def axis_codes(self) -> str:
        """The patient direction each index grows towards, for example "LPS"."""
        codes = ["", "", ""]
        for row, axis in enumerate(self.ras_axes):
            codes[axis] = _AXIS_NAMES[row][int(self.directions[row, axis] > 0)]
        return "".join(codes)

    @cached_property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in cubic millimeters."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def center_ras(self) -> Float:
        """The middle of the grid, (3,) in RAS mm."""
        return self.to_ras((np.asarray(self.shape) - 1) / 2)

    def to_ras(self, ijk: ArrayLike) -> Float:
        """Map (..., 3) voxel indices to RAS millimeters."""
        return apply_affine(self.affine, ijk)

    def to_ijk(self, ras: ArrayLike) -> Float:
        """Map (..., 3) RAS millimeters to continuous voxel indices."""
        return apply_affine(self.inverse, ras)

    def contains(self, ras: ArrayLike) -> bool:
        """Whether a point lies in a voxel of the grid (half a voxel around each center)."""
        ijk = self.to_ijk(ras)
        return bool(np.all(ijk >= -0.5) and np.all(ijk <= np.asarray(self.shape) - 0.5))

    def distance_outside(self, ras: ArrayLike) -> float:
        """How far a point is from the nearest voxel of the grid, in mm; 0 inside."""
        ijk = self.to_ijk(ras)
        nearest = np.clip(ijk, -0.5, np.asarray(self.shape) - 0.5)
        return float(np.linalg.norm((ijk - nearest) * np.asarray(self.spacing)))

    def voxels_at(self, ras: ArrayLike) -> NDArray[np.int64]:
        """The voxels (..., 3) that hold points (..., 3), as if the grid had no end."""
        return np.floor(self.to_ijk(ras) + 0.5).astype(np.int64)

    def holds(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some voxels (..., 3) the grid has."""
        return np.asarray(((voxels >= 0) & (voxels < self.shape)).all(axis=-1))

    def nearest_voxels(self, ras: ArrayLike) -> NDArray[np.int64]:
        """The voxels (..., 3) that the grid has nearest to points (..., 3), index by index."""
        return np.clip(np.floor(self.to_ijk(ras) + 0.5), 0, np.asarray(self.shape) - 1).astype(np.int64)

    def voxel_of(self, ras: ArrayLike) -> tuple[int, int, int]:
        """The voxel (i, j, k) that holds a point; points on the outer face belong to the last voxel."""
        i, j, k = self.nearest_voxels(ras).tolist()
        return i, j, k

    def cropped(self, start: ArrayLike, stop: ArrayLike) -> Grid:
        """The sub-grid of voxels start <= ijk < stop; start may be negative and stop beyond the shape."""
        first = np.asarray(start, dtype=np.int64)
        size = np.asarray(stop, dtype=np.int64) - first
        affine = self.affine.copy()
        affine[:3, 3] = self.to_ras(first)
        return Grid((int(size[0]), int(size[1]), int(size[2])), affine)

    def matches(self, other: Grid, *, tolerance_mm: float = 1e-4) -> bool:
        """Whether both grids have the same shape and all corners within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = corners_ijk(self.shape)
        return bool(np.abs(self.to_ras(corners) - other.to_ras(corners)).max() <= tolerance_mm)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))


def apply_affine(matrix: Float, points: ArrayLike) -> Float:
    """Apply a (4, 4) matrix to points (..., 3)."""
    values = np.asarray(points, dtype=np.float64)
    return np.asarray(values @ matrix[:3, :3].T + matrix[:3, 3])


def squared_lengths(offsets: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Of all vectors that take each coordinate from one of three lists of offsets, as (ni, nj, nk)."""
    i, j, k = np.ix_(*offsets)
    return np.asarray(i**2 + j**2 + k**2)


def squared_distances(center_ras: ArrayLike, grid: Grid, part: tuple[slice, ...] = (slice(None),) * 3) -> Float:
    """How far each voxel of (a part of) a grid of right angles is from a point in RAS mm, squared, as (ni, nj, nk)."""
    center = grid.to_ijk(center_ras)
    offsets = [(np.arange(n) - c) * step for n, c, step in zip(grid.shape, center, grid.spacing, strict=True)]
    return squared_lengths([along[taken] for along, taken in zip(offsets, part, strict=True)])


def corners_ijk(shape: tuple[int, int, int]) -> Float:
    """The eight outer voxel corners of a grid of this shape, (8, 3), half a voxel beyond the centers."""
    low, high = np.full(3, -0.5), np.asarray(shape) - 0.5
    return np.array([np.where([(n >> axis) & 1 for axis in range(3)], high, low) for n in range(8)])


def isotropic_grid(center_ras: ArrayLike, *, shape: tuple[int, int, int], spacing: float, axes: Any = None) -> Grid:
    """A grid of cubic voxels centered on a point; `axes` (3, 3) has the unit directions of i, j, k as columns."""
    directions = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = np.asarray(center_ras) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)


def _check(shape: tuple[int, ...], affine: Float) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise VolumeError(
            "A volume needs three dimensions of at least one voxel, but this one has shape {shape}.", shape=shape
        )
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise VolumeError("The volume's orientation matrix has non-finite numbers; convert the series again.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 1e-6:
        raise VolumeError("The volume has a voxel spacing of zero; correct its spacing before loading it.")
    if spacing.max() > _LONGEST_STEP_MM or np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise VolumeError("The volume's voxel size or place is beyond any patient's; correct its header.")
    cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise VolumeError("The volume's axes are not independent (a singular matrix); convert the series again.")
    if np.abs(cosines - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise VolumeError("The volume's axes are not at right angles (sheared); resample it onto an upright grid.")
