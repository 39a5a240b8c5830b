"""What `demo` works on: the phantom as a DICOM series with its truth, or a series of the user's own."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inference_core.evaluation.phantom import Phantom
    from inference_core.geometry.volume import Volume
    from inference_core.prompts.prompt_set import Prompt, PromptSet

TUMOR = 1
SERIES = "phantom-dicom"
_SLICE = re.compile(r"slice-\d+\.dcm")
# A hand is not a computer: the first click lies this far from the tumor's middle.
_UNSTEADY_MM = (3.0, -2.5, 2.0)


@dataclass(frozen=True, eq=False)
class DemoCase:
    """A volume that was read from DICOM, the first click on it, and where it is known the target (i, j, k)."""

    volume: Volume
    first: Prompt
    target: NDArray[np.bool_] | None

    def box(self) -> Prompt | None:
        """The box a user would draw around the target."""
        from inference_core.evaluation.starts import box_around
        from inference_core.prompts.prompt_set import BoxPrompt

        return None if self.target is None else BoxPrompt(box_around(self.target, self.volume.grid))

    def correction(self, mask: NDArray[np.bool_]) -> Prompt | None:
        """The click on the largest error of a mask; None where there is none, or no truth to tell."""
        from inference_core.evaluation.protocol import correction

        return None if self.target is None else correction(self.target, mask, self.volume.grid)


def phantom_case(folder: Path, *, phantom: Phantom | None = None) -> DemoCase:
    """Make the phantom in a folder, as `phantom-dicom/` and `truth.nii.gz`, and read the series back.

    Raises:
        OutputError: the folder cannot be written.
    """
    from inference_core.evaluation.phantom import make_phantom
    from inference_core.io.files import read_labels, read_volume, write_labels
    from inference_core.prompts.prompt_set import Click

    phantom = phantom or make_phantom()
    _write_series(folder / SERIES, phantom)
    write_labels(folder / "truth.nii.gz", phantom.labels.array, phantom.labels.grid)
    tumor = next(tumor for tumor in phantom.tumors if tumor.label == TUMOR)
    r, a, s = (middle + off for middle, off in zip(tumor.center_ras, _UNSTEADY_MM, strict=True))
    target = read_labels(folder / "truth.nii.gz").array == TUMOR
    return DemoCase(read_volume(folder / SERIES), Click((r, a, s)), target)


def own_case(path: Path, first: tuple[float, float, float]) -> DemoCase:
    """A user's own series, or any other volume, and a click on it.

    Raises:
        VolumeError: it cannot be read.
        PromptError: the click lies outside it.
    """
    from inference_core.io.files import read_volume
    from inference_core.prompts.prompt_set import Click, PromptSet

    volume = read_volume(path)
    prompts: PromptSet = PromptSet((Click(first),)).checked_on(volume.grid, volume.name)
    return DemoCase(volume, prompts.prompts[0], None)


def _write_series(folder: Path, phantom: Phantom) -> None:
    """Write the CT as a DICOM series, whole or not at all; an earlier phantom in the folder goes.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    from inference_core.errors import OutputError
    from inference_core.io.dicom_writer import write_dicom_series

    if folder.exists() and not all(_SLICE.fullmatch(path.name) for path in folder.iterdir()):
        raise OutputError(f"The folder '{folder}' holds other files than a phantom; choose another output folder.")

    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        volume = phantom.volume
        write_dicom_series(making / SERIES, volume.array, volume.grid, description="Phantom abdomen")
        if folder.exists():
            folder.rename(making / "earlier")
        (making / SERIES).rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
