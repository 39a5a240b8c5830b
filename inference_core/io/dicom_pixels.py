"""The voxels of DICOM frames: decoded by pydicom where they are plain, by GDCM where they are compressed, then scaled.

GDCM, behind SimpleITK, turns MONOCHROME1 round and scales every frame by the first one's numbers. It is therefore given
the compressed data alone, in a file that says neither; scaling is done here, by each frame's own numbers.
Frames are read one by one into one array: memory holds the volume once, and one file beside it.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.io.dicom_frames import Frame
from inference_core.io.dicom_header import DicomHeader, first_item, number
from inference_core.io.itk import quiet_itk, simpleitk

# Implicit, explicit, deflated, big endian; and run lengths, of which GDCM refuses some that are sound.
_BY_PYDICOM = {f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2", ".5")}
_LITTLE_ENDIAN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}
_PIXEL_DATA = 0x7FE00010
_JPEG_ROOT = "1.2.840.10008.1.2.4."
_END_OF_IMAGE = b"\xff\xd9"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def read_frames(frames: Sequence[Frame], order: NDArray[np.intp]) -> NDArray[Any]:
    """The frames in stack order, (slices, rows, columns), in the narrowest type that holds them all.

    Raises:
        VolumeError: a file is damaged, cut off, or compressed in a way that cannot be read.
    """
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    wanted: dict[DicomHeader, list[tuple[Frame, int]]] = defaultdict(list)
    for frame, place in zip(frames, places.tolist(), strict=True):
        wanted[frame.header].append((frame, place))
    columns, rows = frames[0].header.size
    array = np.empty((len(frames), rows, columns), dtype=_first_type(frames))
    for header, members in wanted.items():
        stored = stored_pixels(header)
        for frame, place in members:
            scaled = _scaled(stored[frame.index], frame)
            array = _widened(array, scaled)
            array[place] = scaled
    return array


def stored_pixels(header: DicomHeader) -> NDArray[Any]:
    """One file's voxels as stored, (frames, rows, columns).

    Raises:
        VolumeError: the file is damaged, cut off, or compressed in a way that cannot be read.
    """
    try:
        stored = _stored(header)
    except VolumeError:
        raise
    except Exception as error:  # the decoders raise whatever damaged data leads them to
        raise _damaged(header) from error
    columns, rows = header.size
    if stored.size != header.frames * rows * columns:
        raise _damaged(header)
    return stored.reshape(header.frames, rows, columns)


def _stored(header: DicomHeader) -> NDArray[Any]:
    from pydicom import dcmread

    if header.pixels_at is None:
        return _plain(dcmread(header.path, force=True), header)
    element = _pixel_element(header, header.pixels_at)
    if header.syntax in _LITTLE_ENDIAN and element.tag == _PIXEL_DATA and number(header.dataset, "BitsAllocated") == 16:
        return _used_bits(_sixteen_bit(element.value, header), header)
    dataset = _with(element, header)
    return _plain(dataset, header) if header.syntax in _BY_PYDICOM else _decompressed(dataset, header)


def _pixel_element(header: DicomHeader, at: int) -> Any:
    from pydicom.filereader import data_element_generator

    with header.path.open("rb") as stream:
        stream.seek(at)
        return next(data_element_generator(stream, *header.encoding))


def _sixteen_bit(data: bytes, header: DicomHeader) -> NDArray[Any]:
    """What most slices are: words in a row. Raises ValueError where there are too few."""
    kind = "<i2" if number(header.dataset, "PixelRepresentation") == 1 else "<u2"
    return np.frombuffer(data, kind, header.frames * header.size[0] * header.size[1])


def _with(element: Any, header: DicomHeader) -> Any:
    """What was read of the file, and its pixel element."""
    from pydicom import Dataset

    dataset = Dataset()
    dataset.update(header.dataset)
    dataset[element.tag] = element
    dataset.set_original_encoding(*header.encoding, "iso8859")
    return dataset


def _plain(dataset: Any, header: DicomHeader) -> NDArray[Any]:
    from pydicom.pixels.decoders.base import get_decoder

    decoder: Any = get_decoder(header.syntax)
    stored, _ = decoder.as_array(dataset, raw=True, correct_unused_bits=False, view_only=True)
    return _used_bits(stored.astype(stored.dtype.newbyteorder("="), copy=False), header)


def _used_bits(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    """Drop what lies above and below the stored bits, such as an old overlay, and extend the sign."""
    allocated, bits = 8 * stored.dtype.itemsize, number(header.dataset, "BitsStored")
    high = number(header.dataset, "HighBit")
    if stored.dtype.kind not in "iu" or not 1 <= bits < allocated:
        return stored
    top = high if bits - 1 <= high < allocated else bits - 1
    stored = np.left_shift(stored, stored.dtype.type(allocated - 1 - top))
    return np.asarray(np.right_shift(stored, stored.dtype.type(allocated - bits)))


def _decompressed(dataset: Any, header: DicomHeader) -> NDArray[Any]:
    if header.syntax.startswith(_JPEG_ROOT):
        _check_ends(dataset, header)
    sitk = simpleitk()
    with tempfile.TemporaryDirectory(prefix="sam3dsegment-") as folder:
        path = Path(folder) / "frames.dcm"
        _bare(dataset, header).save_as(path, enforce_file_format=True)
        try:
            with quiet_itk():
                image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        except RuntimeError as error:
            raise VolumeError(
                f"'{header.path.name}' cannot be read: it is damaged or compressed in an unknown way; copy it again."
            ) from error
    return np.asarray(sitk.GetArrayFromImage(image))


def _check_ends(dataset: Any, header: DicomHeader) -> None:
    """Refuse compressed frames that are missing or cut off: the decoder would fill them up without a word."""
    from pydicom.encaps import generate_frames

    frames = list(generate_frames(dataset.PixelData, number_of_frames=header.frames))
    if len(frames) != header.frames or any(_END_OF_IMAGE not in frame[-64:] for frame in frames):
        raise _damaged(header)


def _bare(dataset: Any, header: DicomHeader) -> Any:
    """A file of nothing but the compressed frames and how they are coded."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import generate_uid

    bare = Dataset()
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        setattr(bare, keyword, int(number(dataset, keyword)))
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    if header.frames > 1:
        bare.NumberOfFrames = header.frames
    bare.SOPClassUID, bare.SOPInstanceUID, bare.Modality = _SECONDARY_CAPTURE, generate_uid(), "OT"
    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = header.syntax
    bare.file_meta = meta
    bare.PixelData = dataset.PixelData
    bare["PixelData"].VR = "OB"
    bare["PixelData"].is_undefined_length = True
    return bare


def _scaled(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """A frame in its units: whole numbers stay whole."""
    table = first_item(frame.header.dataset, "ModalityLUTSequence")
    if table is not None:
        from pydicom.pixels.processing import apply_modality_lut

        return np.asarray(apply_modality_lut(stored, frame.header.dataset))
    slope, intercept = frame.scaling
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2 or not _is_whole(frame):
        return np.asarray(stored * slope + intercept)
    if slope == 1:
        return _shifted(stored, int(intercept))
    return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))


def _shifted(stored: NDArray[Any], by: int) -> NDArray[Any]:
    """Whole numbers plus one, as int16 where they fit: half the memory to go through, which is what takes the time."""
    limits = np.iinfo(np.int16)
    if stored.dtype.itemsize == 2 and int(stored.min()) + by >= limits.min and int(stored.max()) + by <= limits.max:
        wrapped = (by - limits.min) % 2**16 + limits.min  # what overflows on the way comes back
        return np.asarray(stored.view(np.int16) + np.int16(wrapped))
    return np.asarray(np.add(stored, by, dtype=np.int32))


def _is_whole(frame: Frame) -> bool:
    return all(float(part).is_integer() and abs(part) < 2**31 for part in frame.scaling)


def _first_type(frames: Sequence[Frame]) -> np.dtype[Any]:
    """The type to begin with: the stored one; int16 for scaled whole numbers, until they need more; else float."""
    common = np.result_type(*{_stored_type(frame.header) for frame in frames})
    scaled = [frame for frame in frames if frame.scaling != (1.0, 0.0)]
    if not scaled:
        return common if common.kind == "f" or common.itemsize <= 4 else np.dtype(np.int32)
    if common.kind == "f" or common.itemsize > 2:
        return np.dtype(np.float64 if common.itemsize > 2 else np.float32)
    return np.dtype(np.int16) if all(_is_whole(frame) for frame in scaled) else np.dtype(np.float32)


def _stored_type(header: DicomHeader) -> np.dtype[Any]:
    bits = number(header.dataset, "BitsAllocated")
    if header.pixels_at is not None and not np.isfinite(number(header.dataset, "PixelRepresentation")) and bits >= 32:
        return np.dtype(np.float32 if bits == 32 else np.float64)  # Float Pixel Data has no such attribute
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return np.dtype(f"{'i' if number(header.dataset, 'PixelRepresentation') == 1 else 'u'}{size}")


def _widened(array: NDArray[Any], scaled: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that holds one more frame too."""
    if array.dtype.kind == "f" or np.can_cast(scaled.dtype, array.dtype):
        return array
    if scaled.dtype.kind == "f":
        return array.astype(np.float32)
    low, high = int(scaled.min()), int(scaled.max())
    for kind in (array.dtype, np.dtype(np.int32), np.dtype(np.int64)):
        limits = np.iinfo(kind)
        if np.can_cast(array.dtype, kind) and limits.min <= low and high <= limits.max:
            return array if kind == array.dtype else array.astype(kind)
    return array.astype(np.float64)


def _damaged(header: DicomHeader) -> VolumeError:
    how = "" if header.syntax in _BY_PYDICOM else f" or its compression ({_name(header.syntax)}) is not known here"
    return VolumeError(f"'{header.path.name}' cannot be read: it is damaged or cut off{how}; copy the series again.")


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name
