"""A multi-frame file as highdicom takes it: of the volume's frames alone, along k, its planes said in every place.

Files say where their frames lie per frame, shared, or in a way of their own (nuclear medicine), hold them in any order,
and more of them than one volume's; the source knows it. Only the dataset in memory is changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inference_core.geometry.grid import LPS_FROM_RAS
from inference_core.io.dicom import DicomSource
from inference_core.io.dicom_writer import decimals


def keep_frames_of(source: DicomSource, dataset: Any) -> None:
    """Leave in the dataset of a source's only file the source's frames, in the order of k, with their planes."""
    from pydicom import Dataset

    grid = source.grid
    spacing, thickness = decimals([grid.spacing[1], grid.spacing[0]]), decimals([grid.spacing[2]])[0]
    axes = (LPS_FROM_RAS @ grid.affine)[:3, :3] / np.asarray(grid.spacing)
    orientation = decimals([*axes[:, 0], *axes[:, 1]])
    if not dataset.get("SharedFunctionalGroupsSequence"):
        dataset.SharedFunctionalGroupsSequence = [Dataset()]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    _complete(shared, "PixelMeasuresSequence", PixelSpacing=spacing, SliceThickness=thickness)
    _complete(shared, "PlaneOrientationSequence", ImageOrientationPatient=orientation)
    if not dataset.get("PerFrameFunctionalGroupsSequence"):
        dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(int(dataset.NumberOfFrames))]
    groups = [dataset.PerFrameFunctionalGroupsSequence[frame.index] for frame in source.frames]
    for k, group in enumerate(groups):
        position = decimals(LPS_FROM_RAS[:3, :3] @ grid.to_ras((0, 0, k)))
        _complete(group, "PlanePositionSequence", ImagePositionPatient=position)
    dataset.PerFrameFunctionalGroupsSequence, dataset.NumberOfFrames = groups, len(groups)
    dataset.PixelSpacing, dataset.SliceThickness = spacing, thickness
    dataset.ImageOrientationPatient = orientation
    dataset.ImagePositionPatient = decimals(LPS_FROM_RAS[:3, :3] @ grid.to_ras((0, 0, 0)))


def refer_to_frames_of(source: DicomSource, segmentation: Any) -> None:
    """Let the frames of a SEG that was made of such a dataset refer to the frames by their numbers in the file."""
    images = {  # one item may serve the frames of several segments
        id(image): image
        for groups in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in groups.get("DerivationImageSequence", [])
        for image in derivation.SourceImageSequence
    }
    for image in images.values():
        image.ReferencedFrameNumber = source.frames[int(image.ReferencedFrameNumber) - 1].index + 1


def _complete(group: Any, sequence: str, **attributes: Any) -> None:
    """Give a functional group the attributes that it has not."""
    from pydicom import Dataset

    if not group.get(sequence):
        setattr(group, sequence, [Dataset()])
    (item,) = group[sequence]
    for keyword, value in attributes.items():
        if not item.get(keyword):
            setattr(item, keyword, value)
