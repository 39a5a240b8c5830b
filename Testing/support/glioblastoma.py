"""Glioblastomas before and after treatment, with experts' labels, where they lie beside the repository."""

import pytest
from support.shared import SHARED

_FOLDER = SHARED / "data" / "glioblastoma_btp"
PATIENT = "02"
"""Whom most tests look at."""


def glioblastoma(patient, visit):
    """The image and the label of a patient's visit, "pre" or "post" of treatment; skips where they are not."""
    if not _FOLDER.is_dir():
        pytest.skip("the glioblastoma images are not beside the repository")
    return tuple(_FOLDER / f"{patient}_{visit}" / f"{name}.nii.gz" for name in ("image", "label"))
