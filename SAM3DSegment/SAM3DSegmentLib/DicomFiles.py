"""The DICOM files an image in the scene was loaded from, by Slicer's own database."""

from pathlib import Path
from typing import Any

import slicer

_INSTANCES_ATTRIBUTE = "DICOM.instanceUIDs"


def filesOf(volumeNode: Any) -> list[Path]:
    """The files of an image's slices; none where it was not loaded from DICOM, or the database has lost one of them."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volumeNode.GetAttribute(_INSTANCES_ATTRIBUTE) or "").split()
    if database is None:
        return []
    paths = [str(database.fileForInstance(uid) or "") for uid in uids]
    return [Path(path) for path in dict.fromkeys(paths)] if all(paths) else []
