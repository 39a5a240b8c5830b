"""Labeled data sets small enough to learn in seconds, as files in nnU-Net's raw layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from support.scenes import oblique_grid, spheres

from inference_core.geometry.grid import Grid
from inference_core.io.files import write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.training.run_folder import RunFolder


def write_balls(
    folder: Path,
    *,
    cases: Sequence[str] = ("a", "b", "c"),
    classes: int = 1,
    background: int = 100,
    noise: float = 5.0,
    radius_mm: float = 11.0,
    grid: Grid | None = None,
    side_by_side: bool = False,
) -> Path:
    """A set of cases, each an image of brighter balls on an oblique grid, one ball a class; the folder.

    Those `side_by_side` lie along the grid's first axis and are equally bright: only their places tell them apart.
    """
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    rng = np.random.default_rng(7)
    for name in cases:
        at = grid or oblique_grid(orientation=29, spacing=1, size_mm=44.0)
        labels = np.zeros(at.shape, dtype=np.uint8)
        for value in range(1, classes + 1):
            step = (value - 1) * np.array([0.0, 0.0, 2.2 * radius_mm])
            if side_by_side:
                step = (value - (classes + 1) / 2) * 2.4 * radius_mm * at.affine[:3, 0] / at.spacing[0]
            center = at.center_ras + rng.uniform(-4, 4, 3) + step
            labels[spheres(at, [(center, radius_mm)]) > 0.5] = value
        bright = 150.0 * (labels > 0 if side_by_side else labels)
        voxels = background + bright + noise * rng.standard_normal(at.shape)
        sitk.WriteImage(sitk_from_array(voxels.astype(np.float32), at), folder / "imagesTr" / f"{name}_0000.nii.gz")
        write_labels(folder / "labelsTr" / f"{name}.nii.gz", labels, at)
    described = {
        "channel_names": {"0": "MR"}, "file_ending": ".nii.gz", "numTraining": len(cases),
        "labels": {"background": 0, **{f"ball {value}": value for value in range(1, classes + 1)}},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def best_dice(folder: RunFolder) -> float:
    """The best Dice of a training run on the cases kept back."""
    return max(line["best"] for line in folder.lines() if "best" in line)


def write_prepared(folder: Path, recipe: str, paper: str, *, classes: Sequence[str], **notes: object) -> Path:
    """Balls called as a prepared set's classes, with what `data prepare` notes beside them; case c is its test case."""
    write_balls(folder, classes=len(classes), radius_mm=7.0)
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"] = {"background": 0} | {name: value for value, name in enumerate(classes, start=1)}
    (folder / "dataset.json").write_text(json.dumps(described | {"recipe": recipe, "paper": paper, **notes}))
    (folder / "splits_final.json").write_text('[{"train": ["a"], "val": ["b"], "test": ["c"]}]')
    return folder
