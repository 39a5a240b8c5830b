"""Synthetic DICOM series, for demonstrations and tests, by pydicom: uncompressed, explicit VR little endian."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OutputError
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid
from inference_core.io.atomic import make_folder, replacing

_SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def write_dicom_series(
    folder: str | os.PathLike[str],
    array_ijk: NDArray[Any],
    grid: Grid,
    *,
    modality: str = "CT",
    patient_name: str = "Synthetic^Patient",
    patient_id: str = "SYNTHETIC",
    description: str = "",
    series_uid: str | None = None,
    scaling: Sequence[tuple[float, float]] | None = None,
) -> list[Path]:
    """Write an int16 or uint16 array (i, j, k) as one file a slice; the paths are returned in the order of k.

    `scaling` gives each slice its rescale slope and intercept; the array then holds what is stored, not what is shown.

    Raises:
        OutputError: the modality is not CT, MR or PT, the array is not 16-bit, or the folder cannot be written.
    """
    if modality not in _SOP_CLASSES or array_ijk.dtype not in (np.int16, np.uint16):
        raise OutputError("A DICOM series is written of int16 or uint16 voxels, with the modality CT, MR or PT.")
    target = make_folder(folder)
    dataset = _series(modality, description=description, patient=(patient_name, patient_id), uid=series_uid)
    _describe_image(dataset, array_ijk.dtype, grid)
    paths = []
    for k in range(grid.shape[2]):
        slope, intercept = scaling[k] if scaling is not None else (1.0, 0.0)
        dataset.SOPInstanceUID, dataset.InstanceNumber = new_uid(), k + 1
        dataset.ImagePositionPatient = decimals((LPS_FROM_RAS @ grid.affine @ np.array([0, 0, k, 1.0]))[:3])
        dataset.RescaleIntercept, dataset.RescaleSlope = decimals([intercept, slope])
        dataset.PixelData = array_ijk[:, :, k].tobytes(order="F")
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(target / f"slice-{k + 1:04d}.dcm")
        with replacing(paths[-1]) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    return paths


def decimals(values: Sequence[float] | Float) -> list[str]:
    """Numbers as DICOM decimal strings, of at most 16 characters each."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values]


def _series(modality: str, *, description: str, patient: tuple[str, str], uid: str | None) -> Any:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    dataset: Any = Dataset()
    meta: Any = FileMetaDataset()
    dataset.file_meta = meta
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID = _SOP_CLASSES[modality]
    meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.Modality, dataset.SeriesDescription = modality, description
    dataset.PatientName, dataset.PatientID = patient
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber = "20000101", "120000", "1", 1
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = new_uid(), new_uid()
    dataset.SeriesInstanceUID = uid or new_uid()
    return dataset


def _describe_image(dataset: Any, dtype: np.dtype[Any], grid: Grid) -> None:
    """What all slices of a grid share: size, type, orientation and spacing."""
    axes = (LPS_FROM_RAS @ grid.affine)[:3, :3] / np.asarray(grid.spacing)
    dataset.SliceThickness = decimals([grid.spacing[2]])[0]
    dataset.ImageOrientationPatient = decimals([*axes[:, 0], *axes[:, 1]])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Columns, dataset.Rows = grid.shape[:2]
    dataset.PixelSpacing = decimals([grid.spacing[1], grid.spacing[0]])
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(np.issubdtype(dtype, np.signedinteger))


def new_uid() -> str:
    """A fresh UID under the root that needs no registration (PS3.5 section B.2)."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))
