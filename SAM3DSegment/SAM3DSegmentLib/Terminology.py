"""What a segment is in the words of a terminology, as Slicer writes it into the segment's tag.

An entry is "context~category~type~modifier~context~region~modifier"; each but the contexts is "scheme^value^meaning".
"""

from typing import Any

from SAM3DSegmentLib.WriteBack import tagOf

CATEGORY, TYPE, REGION = 1, 2, 5
# What a segment is until the user says otherwise: a mass, of no particular place.
LESION = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~^^~^^"
)


def entryOf(segment: Any) -> str:
    """A segment's entry; empty where it has none."""
    return tagOf(segment, segment.GetTerminologyEntryTagName())


def codeOf(segment: Any, part: int) -> tuple[str, str, str] | None:
    """Scheme, value and meaning of a part of a segment's entry; None where it has none."""
    parts = entryOf(segment).split("~")
    code = parts[part].split("^") if part < len(parts) else []
    return (code[0], code[1], code[2].strip()) if len(code) == 3 else None


def meaningOf(segment: Any, part: int) -> str:
    """The words of a part of a segment's entry; empty where it has none."""
    code = codeOf(segment, part)
    return code[2] if code is not None else ""
