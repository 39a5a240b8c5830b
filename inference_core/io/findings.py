"""What a segment can be, as DICOM codes it. Imports nothing heavy: the command line names these in its help."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_FINDING = "neoplasm"
Finding = tuple["Coded", "Coded"]


@dataclass(frozen=True)
class Coded:
    """A coded concept: value, coding scheme, meaning."""

    value: str
    scheme: str
    meaning: str


_ALTERED = Coded("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMICAL = Coded("123037004", "SCT", "Anatomical Structure")

FINDINGS: dict[str, Finding] = {
    "neoplasm": (_ALTERED, Coded("108369006", "SCT", "Neoplasm")),
    "mass": (_ALTERED, Coded("4147007", "SCT", "Mass")),
    "lesion": (_ALTERED, Coded("52988006", "SCT", "Lesion")),
    "lymph-node": (_ANATOMICAL, Coded("59441001", "SCT", "Lymph node")),
    "organ": (_ANATOMICAL, Coded("113343008", "SCT", "Organ")),
}
"""What a segment can be: its category and its type (PS3.16, CID 7150 and 7151)."""


def coded(finding: str | Finding) -> Finding:
    """The category and the type of a finding, given as these or by its key in `FINDINGS`."""
    return FINDINGS[finding] if isinstance(finding, str) else finding
