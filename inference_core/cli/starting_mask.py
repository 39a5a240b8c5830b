"""`segment --start-from`: the mask of an earlier run, another program or another reader, to be corrected by clicks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.given_masks import labels_on
from inference_core.cli.parsing import UsageError

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume


def read_starting_mask(path: Path, volume: Volume, *, name: str) -> Volume:
    """The mask of a DICOM SEG, an RTSTRUCT or a label map on a volume's voxels, as prompts start from it.

    Of several segments the one called `name` is taken; of a label map all labels together.

    Raises:
        VolumeError: the file cannot be read, or lies beside the volume.
        UsageError: it holds several segments, of which none has the name.
    """
    from inference_core.geometry.volume import Volume as VolumeOf
    from inference_core.io.dicom_header import is_dicom
    from inference_core.io.opening import check_readable
    from inference_core.io.segmentation_objects import segments_of

    check_readable(path)
    if path.is_file() and is_dicom(path):
        mask = _chosen(segments_of(path, volume.grid), path, name=name).on(volume.grid.shape)
        return VolumeOf(mask, volume.grid, name)
    labels = labels_on(path, volume)
    return VolumeOf((labels.array != 0).astype("uint8"), volume.grid, name)


def _chosen(segments: dict[str, Mask], path: Path, *, name: str) -> Mask:
    if name in segments:
        return segments[name]
    if len(segments) == 1:
        return next(iter(segments.values()))
    there = ", ".join(f"'{segment}'" for segment in segments)
    raise UsageError(f"'{path.name}' holds the segments {there}; say with --name which one to start from.")
