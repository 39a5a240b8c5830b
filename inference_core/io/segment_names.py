"""What a label map's file calls its labels, and whose patient a DICOM image is."""

from __future__ import annotations

import re
from pathlib import Path

from inference_core.errors import VolumeError, one_line
from inference_core.io.text_header import header_lines

_ESCAPE = re.compile(r"\\(n|\\)")
_ENTRY = re.compile(r"Segment(\d+)_(Name|LabelValue):=(.*)")


def segment_names(path: Path) -> dict[int, str]:
    """The names of the labels of a .seg.nrrd by their values; empty for other files, which name none."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return {}
    try:
        with path.open("rb") as stream:
            lines = header_lines(stream, path)
    except (OSError, VolumeError):
        return {}
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        if match := _ENTRY.fullmatch(line):
            found.setdefault(match[1], {})[match[2]] = one_line(_unescaped(match[3]))
    whole = [entry for entry in found.values() if entry.get("LabelValue", "").isdecimal() and entry.get("Name")]
    return {int(entry["LabelValue"]): entry["Name"] for entry in whole}


def _unescaped(text: str) -> str:
    """A header value without NRRD's escapes: a backslash is doubled there, and a line break is one and an n."""
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def patient_id(paths: tuple[Path, ...]) -> str:
    """The patient's ID in a series' first file; empty where it has none."""
    from pydicom import dcmread

    dataset = dcmread(paths[0], specific_tags=["PatientID"], stop_before_pixels=True, force=True)
    return one_line(str(dataset.get("PatientID") or ""))
