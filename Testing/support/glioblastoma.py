"""Glioblastomas before and after treatment, with experts' labels, where they lie beside the repository."""

from pathlib import Path

import pytest

_FOLDERS = [parent / "shared" / "data" / "glioblastoma_btp" for parent in Path(__file__).resolve().parents]
PATIENT = "02"
"""Whom most tests look at."""


def glioblastoma(patient, visit):
    """The image and the label of a patient's visit, "pre" or "post" of treatment; skips where they are not."""
    folder = next((path for path in _FOLDERS if path.is_dir()), None)
    if folder is None:
        pytest.skip("the glioblastoma images are not beside the repository")
    return tuple(folder / f"{patient}_{visit}" / f"{name}.nii.gz" for name in ("image", "label"))
