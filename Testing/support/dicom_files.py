"""DICOM as hospitals write it, made for a test by pydicom: one slice a file, or many frames in one."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from inference_core.geometry.grid import LPS_FROM_RAS
from inference_core.io.dicom_writer import decimals

CT, MR, NM = ("1.2.840.10008.5.1.4.1.1." + end for end in ("2", "4", "20"))
ENHANCED_CT, ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1." + end for end in ("2.1", "4.1"))


def item(**attributes):
    """A dataset, for use in a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def position(grid, k):
    """ImagePositionPatient of slice k of a grid; k may be a fraction."""
    return decimals(LPS_FROM_RAS[:3, :3] @ grid.to_ras((0, 0, k)))


def orientation(grid):
    """ImageOrientationPatient of a grid."""
    axes = (LPS_FROM_RAS @ grid.affine)[:3, :3] / np.asarray(grid.spacing)
    return decimals([*axes[:, 0], *axes[:, 1]])


def image(stored, *, sop_class=CT, modality="CT", series="2.25.7"):
    """An image without a place: stored voxels (rows, columns) or (frames, rows, columns), of 16 bits."""
    stored = np.ascontiguousarray(stored)
    dataset = item(
        SOPClassUID=sop_class,
        SOPInstanceUID=generate_uid(),
        Modality=modality,
        SeriesInstanceUID=series,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=stored.shape[-2],
        Columns=stored.shape[-1],
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=int(stored.dtype.kind == "i"),
        PixelData=stored.tobytes(),
    )
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if stored.ndim == 3:
        dataset.NumberOfFrames = stored.shape[0]
    return dataset


def slice_of(array, grid, k, **settings):
    """Slice k of an array (i, j, k) on a grid, as one plain file's dataset."""
    dataset = image(array[:, :, k].T, **settings)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = position(grid, k), orientation(grid)
    dataset.PixelSpacing = decimals([grid.spacing[1], grid.spacing[0]])
    dataset.SliceThickness, dataset.InstanceNumber = decimals([grid.spacing[2]])[0], k + 1
    return dataset


def enhanced(array, grid, frames, **settings):
    """Slices of an array, in the order of `frames`, as one enhanced multi-frame dataset."""
    settings = {"sop_class": ENHANCED_CT} | settings
    dataset = image(np.stack([array[:, :, k].T for k in frames]), **settings)
    measures = item(
        PixelSpacing=decimals([grid.spacing[1], grid.spacing[0]]), SliceThickness=decimals([grid.spacing[2]])[0]
    )
    shared = item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=orientation(grid))]),
        PixelMeasuresSequence=Sequence([measures]),
    )
    scaling = {"RescaleSlope": "1", "RescaleIntercept": "0", "RescaleType": "HU"}
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSequence=Sequence([item(ImagePositionPatient=position(grid, k))]),
                PixelValueTransformationSequence=Sequence([item(**scaling)]),
                FrameContentSequence=Sequence([item(StackID="1", InStackPositionNumber=k + 1)]),
            )
            for k in frames
        ]
    )
    return dataset


def save(dataset, path, *, syntax=ExplicitVRLittleEndian):
    """Write a dataset as a file, its folders too."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CT)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "2.25.1")
    dataset.save_as(path, enforce_file_format=True)
    return path
