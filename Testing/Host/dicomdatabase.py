"""`slicer.dicomDatabase`: which file holds an instance, as ctkDICOMDatabase says, of what was loaded here."""

from __future__ import annotations


class DicomDatabase:
    """Answers with paths as text, and with "" for an instance it does not know."""

    def __init__(self):
        self._files = {}

    def insert(self, path):
        """ctkDICOMDatabase indexes a file under its SOP instance. Returns the instance's UID."""
        from pydicom import dcmread

        uid = str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
        self._files[uid] = str(path)
        return uid

    def fileForInstance(self, uid):
        return self._files.get(uid, "")
