"""SAM-Med3D's folders joined: an image that lies once in each class's folder becomes one case with all its classes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference_core.errors import VolumeError
from inference_core.io.files import read_labels, write_labels
from inference_core.training.data.cases import Case
from inference_core.training.data.listing import stem_of
from inference_core.training.data.per_class import read_per_class
from inference_core.training.data.source_files import Found
from inference_core.training.data.writing import Places, check_one_grid, copy_image


@dataclass(frozen=True)
class Part:
    """One class of an image: its value and the file of its binary label."""

    value: int
    label: Path


@dataclass(frozen=True)
class Merged:
    """An image and its classes."""

    image: Path
    parts: tuple[Part, ...]


def merged_cases(source: Path) -> tuple[tuple[Found, ...], dict[str, Merged]]:
    """One case for each image of each data set, and what it is joined from.

    Raises:
        VolumeError: there is no such folder in the source.
    """
    grouped: dict[str, list[Case]] = defaultdict(list)
    for case in read_per_class(source).cases:
        if case.label is not None:
            grouped[f"{case.images[0].parent.parent.name}_{stem_of(case.images[0])}"].append(case)
    if not grouped:
        raise VolumeError(f"'{source}' has no folders class/data set/imagesTr with labelsTr; check the path.")
    found, parts = [], {}
    for name, cases in sorted(grouped.items()):
        labels = tuple(case.label for case in cases if case.label is not None)
        found.append(Found(name, cases[0].images, labels, cases[0].split))
        both = zip(cases, labels, strict=True)
        parts[name] = Merged(cases[0].images[0], tuple(Part(case.value or 1, label) for case, label in both))
    return tuple(found), parts


def merged_classes(source: Path) -> dict[int, str]:
    """The classes by the numbers they are written as."""
    return read_per_class(source).classes


def write_merged(merged: Merged, places: Places) -> None:
    """Write the image, and its classes as one label map; where two overlap, the smaller one is kept whole.

    Raises:
        VolumeError: a label lies on other voxels than the image.
    """
    if places.there:
        return
    grid = check_one_grid((merged.image,), [part.label for part in merged.parts])
    masks = [(part.value, read_labels(part.label, single_slice=True).array > 0) for part in merged.parts]
    joined = np.zeros(grid.shape, dtype=np.uint8)
    for value, mask in sorted(masks, key=lambda one: -int(one[1].sum())):
        joined[mask] = value
    copy_image(merged.image, places.images[0])
    write_labels(places.label, joined, grid)
