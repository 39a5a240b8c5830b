"""A published data set written anew as nnU-Net raw: case after case, each whole or not at all, resumed after a stop.

Voxels stay on their own grids, as they are: what a paper does with them (window, spacing) is written into dataset.json,
for each family resamples in its own way and is measured on the image's own grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.io.files import read_labels, write_labels
from inference_core.training.data import prepared_splits
from inference_core.training.data.cases import Split, by
from inference_core.training.data.per_class_merge import merged_cases, merged_classes, write_merged
from inference_core.training.data.pictures import (
    color_classes,
    nearest_classes,
    outlined,
    picture_grid,
    read_picture,
    read_stack,
)
from inference_core.training.data.recipe import Kind, Paper, Recipe
from inference_core.training.data.source_files import Found, find_cases, sides_in
from inference_core.training.data.writing import (
    Places,
    begin,
    check_one_grid,
    copy_image,
    finish,
    places_of,
    write_image,
)

Notify = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Prepared:
    """What came of it: the cases' names, the reason for each left out, and the paper's cases that are not there."""

    cases: tuple[str, ...]
    left_out: Mapping[str, str]
    missing: tuple[str, ...]
    paper: str
    said: str


def prepare(
    recipe: Recipe, source: Path, out: Path, *, paper: str | None = None, seed: int = 0, notify: Notify | None = None
) -> Prepared:
    """Write a published set as nnU-Net raw; a case that cannot be used is left out, and the reason returned.

    `notify` is told how many cases are done, of how many, and which comes next. What an earlier run wrote stays.

    Raises:
        OptionError: no such paper used the set.
        VolumeError: the source has no such case, or not one can be used.
        OutputError: the folder holds something else, or cannot be written.
    """
    name, rule = recipe.paper(paper)
    if source.resolve() in out.resolve().parents:
        raise OutputError(f"'{out}' lies in the source, where it would be read as a part of it; choose another folder.")
    found, write = _jobs(recipe, rule, source, out)
    folds = prepared_splits.folds_of(rule.split, sides_in(found), pattern=recipe.patient_pattern, seed=seed)
    begin(out, {"recipe": recipe.name, "paper": name, "seed": seed, "cases": _digest(case.name for case in found)})
    tested = _always_tested(folds)
    left_out: dict[str, str] = {}
    for number, case in enumerate(found):
        if notify is not None:
            notify(number, len(found), case.name)
        try:
            write(case, case.name in tested)
        except VolumeError as error:
            left_out[case.name] = str(error)
    kept = tuple(case.name for case in found if case.name not in left_out)
    if not kept:
        raise VolumeError(f"Not one case can be used; of '{found[0].name}': {left_out[found[0].name]}")
    folds = tuple(prepared_splits.without(fold, tuple(left_out)) for fold in folds)
    finish(
        out, folds, name=recipe.title, channels=recipe.channels, classes=_classes_of(recipe, rule, source),
        train_count=sum(case not in tested for case in kept),
        notes={"recipe": recipe.name, "paper": name, **recipe.as_json(rule)},
    )  # fmt: skip
    return Prepared(kept, left_out, prepared_splits.missing(rule.split, kept), name, rule.said)


_Write = Callable[[Found, bool], None]


def _jobs(recipe: Recipe, paper: Paper, source: Path, out: Path) -> tuple[Sequence[Found], _Write]:
    """The cases, and what writes one, told whether it is a test case."""
    if not source.is_dir():
        raise VolumeError(f"There is no folder '{source}'; give the one that the data set was unpacked to.")
    if recipe.kind is Kind.PER_CLASS:
        found, parts = merged_cases(source)
        return found, lambda case, tested: write_merged(
            parts[case.name], places_of(case.name, out, tested=tested, channels=1)
        )
    found = find_cases(recipe, source)
    write = _write_volumes if recipe.kind is Kind.VOLUMES else _write_pictures
    channels = len(recipe.channels)
    return found, lambda case, tested: write(
        recipe, paper, case, places_of(case.name, out, tested=tested, channels=channels)
    )


def _classes_of(recipe: Recipe, paper: Paper, source: Path) -> dict[int, str]:
    if recipe.kind is Kind.PER_CLASS:
        return merged_classes(source)
    return recipe.classes_of(paper)


def _always_tested(folds: Sequence[Split]) -> frozenset[str]:
    """Cases on the test side of every fold: they lie in imagesTs, those of single folds with all others."""
    return frozenset.intersection(*(frozenset(fold.test) for fold in folds)) if folds else frozenset()


def _write_volumes(recipe: Recipe, paper: Paper, case: Found, places: Places) -> None:
    if places.there:
        return
    grid = check_one_grid(case.images, case.labels)
    labels = read_labels(case.labels[0], single_slice=True)
    mapped = _mapped(labels.array, recipe.value_map(paper), known=recipe.classes_of(paper), case=case)
    for image, place in zip(case.images, places.images, strict=True):
        copy_image(image, place)
    write_labels(places.label, mapped, Grid(grid.shape, labels.grid.affine, labels.grid.forms))


def _write_pictures(recipe: Recipe, paper: Paper, case: Found, places: Places) -> None:
    if places.there:
        return
    stack = read_stack(case.images, colors=len(recipe.channels))
    grid = picture_grid(stack.shape[:3])
    labels = np.stack([_label_picture(recipe, case, path, stack.shape[:2]) for path in case.labels], axis=2)
    if labels.shape != grid.shape:
        raise VolumeError(f"The label of '{case.name}' has {by(labels.shape)} pixels but its image {by(grid.shape)}.")
    for channel, place in enumerate(places.images):
        write_image(place, stack[..., channel], grid)
    write_labels(places.label, labels, grid)


def _label_picture(recipe: Recipe, case: Found, path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if path.suffix.lower() == ".xml":
        return outlined(path, case.numbers[-1], (shape[0], shape[1]))
    pixels = read_picture(path)
    if recipe.colors:
        return color_classes(pixels, recipe.colors)
    return nearest_classes(pixels[:, :, 0], recipe.values)


def _mapped(
    labels: NDArray[Any], table: Mapping[int, int], *, known: Mapping[int, str], case: Found
) -> NDArray[np.uint8]:
    written = np.zeros(labels.shape, dtype=np.uint8)
    for raw in np.unique(labels).tolist():
        value = table.get(raw, raw)
        if value and value not in known:
            raise VolumeError(f"The label of '{case.name}' holds {raw}, which is no class of this data set.")
        written[labels == raw] = value
    return written


def _digest(names: Any) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
