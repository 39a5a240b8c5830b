"""SAM-Med3D's four cleaning steps on one label map: size, background share, five largest components, left and right.

Source: SAM-Med3D (Wang et al. 2025), section 3.2. A mask below 1 cubic centimeter, or shorter than 1.5 cm along an
axis, goes. What share of background is too much, and how pairs are told, the paper does not say: that is our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.volume import Volume

Bools = NDArray[np.bool_]

_SIDED = re.compile(r"(?i)\b(?:left|right|l|r)\b")
_ALIKE = 0.5
"""How much smaller than the other the smaller of two paired organs may be."""


@dataclass(frozen=True)
class CleaningRules:
    """What is too small, too rare, too scattered. A volume of one slice has no size in mm that counts."""

    least_mm3: float = 1000.0
    least_extent_mm: float = 15.0
    most_background: float = 0.99999
    most_components: int = 5


@dataclass(frozen=True)
class ClassFinding:
    """What one class of one label map is like, before anything is done to it.

    `pair` says whether its two largest parts lie left and right of each other like paired organs.
    """

    value: int
    volume_mm3: float
    extent_mm: tuple[float, float, float]
    background: float
    components: int
    too_small: bool
    too_rare: bool
    pair: bool

    @property
    def dropped(self) -> bool:
        """Whether cleaning removes the class from this label map."""
        return self.too_small or self.too_rare


def findings_of(labels: Volume, rules: CleaningRules) -> Iterator[ClassFinding]:
    """What each class in a label map is like, by its value."""
    return (part.finding for part in _parts_of(labels, rules))


class _ClassParts(NamedTuple):
    """A class with its connected parts: where they are in the label map, numbered from 1, and their voxel counts."""

    finding: ClassFinding
    around: tuple[slice, ...]
    parts: NDArray[np.int32]
    sizes: NDArray[np.int64]


def _parts_of(labels: Volume, rules: CleaningRules) -> Iterator[_ClassParts]:
    flat = min(labels.grid.shape) < 2
    for value, around in _boxes(labels):
        mask = labels.array[around] == value
        count = int(mask.sum())
        extent = _extent_mm(mask, labels.grid)
        volume = count * labels.grid.voxel_volume_mm3
        small = not flat and (volume < rules.least_mm3 or min(extent) < rules.least_extent_mm)
        parts, sizes = _components(mask)
        background = 1 - count / labels.array.size
        rare = background > rules.most_background
        pair = _is_pair(parts, sizes, _grid_in(labels.grid, around))
        finding = ClassFinding(value, volume, extent, background, len(sizes), small, rare, pair)
        yield _ClassParts(finding, around, parts, sizes)


def cleaned(labels: Volume, rules: CleaningRules, *, split: Mapping[int, int]) -> NDArray[np.uint16]:
    """A label map after the four steps; `split` gives the value of the right part of each class that is to be split.

    Left and right are the patient's. A class that is no pair here lies on the side of the image's middle that its
    center is on.
    """
    result = np.zeros(labels.grid.shape, dtype=np.uint16)
    for found, around, parts, sizes in _parts_of(labels, rules):
        if found.dropped:
            continue
        kept = np.argsort(-sizes, kind="stable")[: rules.most_components] + 1
        inside = result[around]
        inside[np.isin(parts, kept)] = found.value
        if found.value in split:
            middle = None if found.pair else float(labels.grid.center_ras[0])
            for part in _right_parts(parts, kept, _grid_in(labels.grid, around), middle=middle):
                inside[parts == part] = split[found.value]
    return result


def is_named_by_side(name: str) -> bool:
    """Whether a class's name says left or right already."""
    return _SIDED.search(name.replace("_", " ").replace("-", " ")) is not None


def _boxes(labels: Volume) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each value above zero, and the part of the array that holds it."""
    from scipy import ndimage as ndi

    for value, around in enumerate(ndi.find_objects(labels.array.astype(np.int32, copy=False)), start=1):
        if around is not None:
            yield value, around


def _grid_in(grid: Grid, around: tuple[slice, ...]) -> Grid:
    """The grid of a part of an array."""
    return grid.cropped([edge.start for edge in around], [edge.stop for edge in around])


def _components(mask: Bools) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Parts that hang together by faces, edges or corners, numbered from 1, and their voxel counts."""
    from scipy import ndimage as ndi

    parts, _ = ndi.label(mask, structure=np.ones((3, 3, 3)))
    return parts, np.bincount(parts.ravel())[1:]


def _extent_mm(mask: Bools, grid: Grid) -> tuple[float, float, float]:
    """Edge lengths of a mask that reaches all of its array's faces."""
    i, j, k = (float(n * step) for n, step in zip(mask.shape, grid.spacing, strict=True))
    return i, j, k


def _is_pair(parts: NDArray[np.int32], sizes: NDArray[np.int64], grid: Grid) -> bool:
    """Whether the two largest parts are alike in size, apart from right to left, and nearer along the other axes."""
    if len(sizes) < 2:
        return False
    order = np.argsort(-sizes, kind="stable")[:2]
    if sizes[order[1]] < _ALIKE * sizes[order[0]] or sizes[order].sum() < 0.8 * sizes.sum():
        return False
    first, second = (_points_ras(parts == part + 1, grid) for part in order)
    apart = np.abs(first.mean(0) - second.mean(0))
    overlaps = min(first[:, 0].max(), second[:, 0].max()) >= max(first[:, 0].min(), second[:, 0].min())
    return bool(not overlaps and apart[0] > apart[1] and apart[0] > apart[2])


def _right_parts(parts: NDArray[np.int32], kept: NDArray[np.int64], grid: Grid, *, middle: float | None) -> list[int]:
    """Of the parts that are kept, those on the patient's right of a plane: R grows to the right in RAS.

    None stands for the plane half-way between the two largest.
    """
    centers = {int(part): float(_points_ras(parts == part, grid)[:, 0].mean()) for part in kept}
    if middle is None:
        first, second = list(centers.values())[:2]
        middle = (first + second) / 2
    return [part for part, center in centers.items() if center > middle]


def _points_ras(mask: Bools, grid: Grid) -> Float:
    return grid.to_ras(np.argwhere(mask))
