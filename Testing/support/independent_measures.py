"""Measures of exported lesions, worked out anew from the files alone: pydicom, numpy, scipy and SimpleITK.

Nothing of the package is used, and nothing is clever: diameters are those of all pairs of voxels, volumes are counted.
Arrays are (k, rows, columns) of the series' slices, points are in LPS mm as DICOM has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.distance import pdist, squareform


@dataclass(frozen=True, eq=False)
class Series:
    """The slices of a folder in their order along the normal; `steps` has the LPS mm of one k, row and column."""

    values: np.ndarray
    origin: np.ndarray
    steps: np.ndarray
    uids: list[str]
    header: pydicom.Dataset

    @classmethod
    def read(cls, folder: Path) -> Series:
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        across, down = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(across, down)
        slices.sort(key=lambda item: np.dot(normal, np.array(item.ImagePositionPatient, float)))
        places = np.array([item.ImagePositionPatient for item in slices], float)
        rows, columns = map(float, slices[0].PixelSpacing)
        values = np.stack([item.pixel_array * item.RescaleSlope + item.RescaleIntercept for item in slices])
        steps = np.stack([places[1] - places[0], down * rows, across * columns])
        return cls(values, places[0], steps, [item.SOPInstanceUID for item in slices], slices[0])

    def points(self, kij: np.ndarray) -> np.ndarray:
        return self.origin + kij @ self.steps

    @property
    def axial(self) -> int:
        """Along which of k, row and column the slices lie that are nearest to axial."""
        return int((np.abs(self.steps[:, 2]) / np.linalg.norm(self.steps, axis=1)).argmax())

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.steps))) / 1000


@dataclass(frozen=True)
class Numbers:
    """Of one lesion; `long_ends` lists the ends (2, 3) of every line that is the longest within 0.001 mm."""

    voxels: int
    ml: float
    axial_mm: float
    long_ends: list[np.ndarray]
    longest_mm: float
    mean: float
    sd: float
    median: float
    least: float
    most: float


def masks_in_seg(path: Path, series: Series) -> dict[str, np.ndarray]:
    """Each segment's voxels by its label, its frames put where they say that they lie."""
    seg = pydicom.dcmread(path)
    frames = np.atleast_3d(seg.pixel_array.T).T > 0
    names = {segment.SegmentNumber: segment.SegmentLabel for segment in seg.SegmentSequence}
    found = {name: np.zeros(series.values.shape, bool) for name in names.values()}
    normal = series.steps[0] / np.linalg.norm(series.steps[0])
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        at = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        k = round(float(np.dot(at - series.origin, normal) / np.linalg.norm(series.steps[0])))
        assert np.allclose(at, series.points(np.array([k, 0, 0])), atol=0.01)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[names[number]][k] |= frame
    return found


def numbers_of(mask: np.ndarray, series: Series) -> Numbers:
    """Everything of one mask; it has two voxels at least."""
    inside = series.values[mask]
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(_image(series.values), _image(mask.astype(np.uint8)))
    longest, ends = 0.0, []
    for index in np.unique(np.argwhere(mask)[:, series.axial]):
        points = series.points(_places(mask, series, index, rim=True))
        apart = squareform(pdist(points))
        best = apart.max()
        if best > longest + 1e-3:
            longest, ends = best, []
        if best >= longest - 1e-3:
            ends += [points[[a, b]] for a, b in np.argwhere(apart >= longest - 1e-3) if a < b]
    everywhere = series.points(np.argwhere(_rim(mask)))
    return Numbers(
        voxels=int(mask.sum()),
        ml=mask.sum() * series.voxel_ml,
        axial_mm=float(longest),
        long_ends=ends,
        longest_mm=float(pdist(everywhere).max()),
        mean=statistics.GetMean(1),
        sd=statistics.GetSigma(1),
        median=float(np.median(inside)),
        least=statistics.GetMinimum(1),
        most=statistics.GetMaximum(1),
    )


def across(mask: np.ndarray, series: Series, ends: np.ndarray) -> float:
    """The longest line at a right angle to a line (2, 3) in its slice, tried every 0.02 mm along it.

    It runs between the lines that join the centers of neighboring voxels.
    """
    index = round(float(((ends[0] - series.origin) @ np.linalg.inv(series.steps))[series.axial]))
    places = _places(mask, series, index, rim=False)
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    normal = np.cross(*np.delete(series.steps, series.axial, axis=0))
    upright = np.cross(normal / np.linalg.norm(normal), along)
    points = series.points(places) - ends[0]
    flat = points @ np.stack([along, upright], axis=1)
    near = np.abs(places[:, None] - places[None]).max(axis=-1)
    first, second = np.nonzero(np.triu(near == 1))
    longest = 0.0
    for at in np.arange(flat[:, 0].min(), flat[:, 0].max(), 0.02):
        crossing = (flat[first, 0] - at) * (flat[second, 0] - at) < 0
        a, b = flat[first[crossing]], flat[second[crossing]]
        heights = a[:, 1] + (at - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
        if heights.size:
            longest = max(longest, float(np.ptp(heights)))
    return longest


def masks_in_rtstruct(path: Path, series: Series) -> dict[str, np.ndarray]:
    """Each structure's voxels: those whose centers its contours go around an odd number of times."""
    structures = pydicom.dcmread(path)
    names = {item.ROINumber: item.ROIName for item in structures.StructureSetROISequence}
    found = {}
    for roi in structures.ROIContourSequence:
        mask = np.zeros(series.values.shape, bool)
        for contour in roi.get("ContourSequence", ()):
            corners = np.array(contour.ContourData, float).reshape(-1, 3)
            kij = (corners - series.origin) @ np.linalg.inv(series.steps)
            k = round(float(kij[:, 0].mean()))
            assert np.allclose(kij[:, 0], k, atol=0.01)
            mask[k] ^= _inside(kij[:, 1:], mask.shape[1:])
        found[names[roi.ReferencedROINumber]] = mask
    return found


def _inside(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels of a slice from whose centers a ray crosses a polygon of (row, column) an odd number of times."""
    rows, columns = np.arange(shape[0])[:, None] + 1e-6, np.arange(shape[1])[None]
    odd = np.zeros(shape, bool)
    for (row, column), (nextRow, nextColumn) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crossed = (row > rows) != (nextRow > rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = column + (rows - row) / (nextRow - row) * (nextColumn - column)
        odd ^= crossed & (columns < at)
    return odd


def _places(mask: np.ndarray, series: Series, index: int, *, rim: bool) -> np.ndarray:
    """The voxels (n, 3) of an axial slice; of its rim in the slice alone, where that is enough."""
    pixels = np.take(mask, index, axis=series.axial)
    return np.insert(np.argwhere(_rim(pixels) if rim else pixels), series.axial, index, axis=1)


def _rim(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


def _image(array: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(array)
