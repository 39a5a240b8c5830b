"""Masks that a user has accepted, kept to learn from: nnU-Net raw cases of pixel data alone.

A case is the image around a target, its mask and the prompts that led to it. No name, date, time or UID is written, and
positions count from the middle of the cut, so that not even the patient's place in the scanner is kept. Files are NRRD,
which needs no library beside SimpleITK.

    dataset.json  imagesTr/case_0001_0000.nrrd  labelsTr/case_0001.nrrd  prompts/case_0001.json
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.io.atomic import make_folder, replacing
from inference_core.io.nrrd import write_nrrd
from inference_core.io.prompts_json import write_prompts
from inference_core.prompts.prompt_set import PromptSet, center_of

# Enough to learn from, and how long that takes unless the user says otherwise.
FEWEST_CASES = 3
USUAL_MINUTES = 5.0
# As much around a target as a window of usual scale shows.
_MARGIN_OF_EXTENT, _LEAST_MARGIN_MM = 1.5, 40.0
_NAME = re.compile(r"case_(\d{4,})")
_DESCRIBED = {"channel_names": {"0": "image"}, "labels": {"background": 0, "target": 1}, "file_ending": ".nrrd"}


@dataclass(frozen=True)
class AcceptedCase:
    """A case that can be learned from, or deleted."""

    folder: Path
    name: str

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case."""
        return (
            self.folder / "imagesTr" / f"{self.name}_0000.nrrd",
            self.folder / "labelsTr" / f"{self.name}.nrrd",
            self.folder / "prompts" / f"{self.name}.json",
        )

    def delete(self) -> None:
        """Remove the case's files."""
        for path in self.files:
            path.unlink(missing_ok=True)
        _describe(self.folder)


def accept(folder: Path, volume: Volume, mask: NDArray[np.bool_], prompts: PromptSet) -> AcceptedCase:
    """Keep a mask of the volume's shape as a case in a folder of accepted cases, which is made where it is not there.

    Raises:
        VolumeError: the mask is empty or of another shape.
        OutputError: the folder cannot be made or written.
    """
    if mask.shape != volume.grid.shape:
        raise VolumeError("The mask does not have its image's voxels; accept the mask of this image.")
    box = VoxelBox.over(mask)
    if box is None:
        raise VolumeError("The mask is empty; there is nothing to learn from it.")
    cut = _around(box, volume.grid)
    grid, image, target = volume.grid.cropped(cut.start, cut.stop), volume.array[cut.slices()], mask[cut.slices()]
    middle = grid.center_ras
    here = _moved(grid, -middle)
    for part in ("imagesTr", "labelsTr", "prompts"):
        make_folder(folder / part)
    case = AcceptedCase(folder, _next_name(folder))
    image_path, label_path, prompts_path = case.files
    _write_image(image_path, image, here)
    with replacing(label_path) as temporary:
        write_nrrd(temporary, target.astype(np.uint8), here)
    write_prompts(prompts_path, _prompts_moved(prompts, -middle))
    _describe(folder)
    return case


def accepted_cases(folder: Path) -> list[AcceptedCase]:
    """The cases in a folder, oldest first."""
    names = sorted(path.stem for path in (folder / "labelsTr").glob("*.nrrd") if _NAME.fullmatch(path.stem))
    return [AcceptedCase(folder, name) for name in names]


def _around(box: VoxelBox, grid: Grid) -> VoxelBox:
    extent = float(((box.stop - box.start) * np.asarray(grid.spacing)).max())
    margin = max(_MARGIN_OF_EXTENT * extent, _LEAST_MARGIN_MM)
    voxels = np.ceil(margin / np.asarray(grid.spacing)).astype(np.int64)
    return VoxelBox(np.maximum(box.start - voxels, 0), np.minimum(box.stop + voxels, grid.shape))


def _moved(grid: Grid, by_ras: NDArray[np.float64]) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += by_ras
    return Grid(grid.shape, affine)


def _prompts_moved(prompts: PromptSet, by_ras: NDArray[np.float64]) -> PromptSet:
    """What was placed and drawn, without a mask to start from, and without texts: they may name people."""
    moved = PromptSet(prompts.placed)
    for index, prompt in enumerate(prompts.placed):
        moved = moved.moved(index, center_of(prompt) + by_ras)
    return moved


def _next_name(folder: Path) -> str:
    numbers = [int(found.group(1)) for case in accepted_cases(folder) if (found := _NAME.fullmatch(case.name))]
    return f"case_{max(numbers, default=0) + 1:04d}"


def _write_image(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """By SimpleITK, which writes nothing but the voxels and where they lie."""
    import SimpleITK as sitk

    from inference_core.io.itk import sitk_from_array

    with replacing(path) as temporary:
        sitk.WriteImage(sitk_from_array(np.ascontiguousarray(array), grid), str(temporary), useCompression=True)


def _describe(folder: Path) -> None:
    with replacing(folder / "dataset.json") as temporary:
        content = {**_DESCRIBED, "numTraining": len(accepted_cases(folder))}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
