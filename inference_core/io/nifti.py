"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz, .hdr with .img), either byte order; headers are nibabel's to parse.

The voxels are read here, for neither ITK (which fills up what a file lacks) nor nibabel (which leaves a gzip checksum
unread) refuses every damaged file.
Source: the NIfTI-1 (nifti1.h) and NIfTI-2 (nifti2.h) header definitions, https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.io.nifti_forms import fill_forms, grid_of_header
from inference_core.io.opening import is_regular_file

_Stream = gzip.GzipFile | io.BufferedReader

LONGEST_AXIS = 32767  # NIfTI-1 counts voxels in 16 bits
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_UNUSABLE_TYPES = {
    32: "complex numbers; load its magnitude image instead",
    1792: "complex numbers; load its magnitude image instead",
    2048: "complex numbers; load its magnitude image instead",
    128: "colors; choose a scalar CT, MR or PET volume",
    2304: "colors; choose a scalar CT, MR or PET volume",
}
_SINGLE = (b"n+1", b"n+2")
_PAIR = (b"ni1", b"ni2")
_MOST_AFTER = 1 << 28


def read_nifti(path: Path, *, part: int | None = None) -> Volume:
    """Read a NIfTI volume: its voxels in their own type, in float where the file scales them.

    Of a 4D file (channels, time points) the volume with the number `part`, counted from 1, is read.

    Raises:
        VolumeError: the file is damaged or cut off, not one scalar 3D volume, or its geometry cannot be trusted.
    """
    try:
        with _opened(_header_path(path)) as stream:
            header, size = _read_header(stream, path)
        shape = _shape(header, path, part=part)
        grid = grid_of_header(header, shape, path)
        data, offset = _voxels_of(path, header, size=size)
        with _opened(data) as stream:
            stream.seek(offset + _bytes_before(header, shape, part))
            array = _read_voxels(stream, header, shape=shape, path=data)
    except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
        raise _damaged(path) from error
    return Volume(_scaled(array, header), grid, _stem(path))


def read_nifti_grid(path: Path) -> Grid:
    """The grid of a NIfTI file's volume, or of each of a 4D file's, from its header alone.

    Raises:
        VolumeError: as `read_nifti`, as far as the header tells.
    """
    try:
        with _opened(_header_path(path)) as stream:
            header, _ = _read_header(stream, path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path) from error
    return grid_of_header(header, _shape(header, path, part=1), path)


def nifti_parts(path: Path) -> int:
    """How many volumes a NIfTI file holds: one, or those of its fourth dimension.

    Raises:
        VolumeError: it is no readable NIfTI file.
    """
    try:
        with _opened(_header_path(path)) as stream:
            return _parts(_read_header(stream, path)[0])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path) from error


def write_nifti(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write an array (i, j, k) of uint8 or uint16 as NIfTI-1; gzip where the name ends in .gz.

    Its two forms are those of the file that the grid came from; otherwise the grid itself is both.
    """
    from nibabel import Nifti1Header

    header = Nifti1Header(endianness="<")
    header.set_data_shape(grid.shape)
    header.set_data_dtype(array.dtype)
    header["vox_offset"], header["scl_slope"], header["scl_inter"], header["magic"] = 352, 1, 0, b"n+1"
    fill_forms(header, grid)
    with path.open("wb") as raw:
        compress = path.name.lower().endswith(".gz")
        stream: Any = gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) if compress else raw
        stream.write(header.binaryblock + bytes(4))
        for k in range(grid.shape[2]):
            stream.write(array[:, :, k].astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
        if compress:
            stream.close()


def companion(path: Path) -> Path | None:
    """The other file of a .hdr and .img pair, where it is there."""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((".hdr", ".img")):
        return None
    stem = path.name[: len(name) - len(".hdr")]
    wanted = ".img" if name.endswith(".hdr") else ".hdr"
    places = [path.with_name(stem + form) for ending in (wanted, wanted.upper()) for form in (ending, f"{ending}.gz")]
    return next((place for place in places if is_regular_file(place)), None)


def _header_path(path: Path) -> Path:
    if not path.name.lower().removesuffix(".gz").endswith(".img"):
        return path
    header = companion(path)
    if header is None:
        raise VolumeError(f"'{path.name}' lacks its header, a file of the same name that ends in .hdr; copy both.")
    return header


def _opened(path: Path) -> _Stream:
    """The file's plain bytes; compression is told by its first two bytes, since names lie."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _read_header(stream: _Stream, path: Path) -> tuple[Any, int]:
    """The header, and how many bytes it takes."""
    from nibabel import Nifti1Header, Nifti2Header

    kinds: tuple[Any, ...] = (Nifti1Header, Nifti2Header)
    start = stream.read(Nifti2Header.sizeof_hdr)
    for kind in kinds:
        size = kind.sizeof_hdr
        for order in ("<", ">"):
            if len(start) < size or int(np.frombuffer(start, np.dtype(f"{order}i4"), 1)[0]) != size:
                continue
            header: Any = kind(start[:size], endianness=order, check=False)
            if bytes(header["magic"])[:3] not in _SINGLE + _PAIR:
                raise VolumeError(
                    f"'{path.name}' is an Analyze image, which does not say what is left and right; "
                    "save it again as NIfTI (.nii.gz)."
                )
            return header, size
    raise _damaged(path)


def _voxels_of(path: Path, header: Any, *, size: int) -> tuple[Path, int]:
    """The file that holds the voxels, and where in it they begin."""
    offset = int(header["vox_offset"])
    paired = bytes(header["magic"])[:3] in _PAIR
    if not path.name.lower().removesuffix(".gz").endswith((".hdr", ".img")):
        return path, max(offset, size)  # a lone file that calls itself one of a pair has them too
    own = companion(_header_path(path))
    if not paired and own is None:
        return path, max(offset, size)
    if own is None:
        raise VolumeError(f"'{path.name}' lacks its voxels, a file of the same name that ends in .img; copy both.")
    return own, max(offset, 0)


def _parts(header: Any) -> int:
    """How many volumes there are along the fourth dimension and those after it."""
    return int(np.prod([max(1, int(n)) for n in header["dim"][4 : int(header["dim"][0]) + 1]], dtype=object))


def _bytes_before(header: Any, shape: tuple[int, int, int], part: int | None) -> int:
    itemsize = np.dtype(_TYPES.get(int(header["datatype"]), "u1")).itemsize
    return 0 if part is None else (part - 1) * int(np.prod(shape, dtype=object)) * itemsize


def _shape(header: Any, path: Path, *, part: int | None = None) -> tuple[int, int, int]:
    """The three sizes; further dimensions of one, or of zero as some programs leave them, are dropped."""
    rank = int(header["dim"][0])
    if not 1 <= rank <= 7 or (header["dim"][1 : min(rank, 3) + 1] < 1).any():
        raise _damaged(path)
    if part is not None and not 1 <= part <= _parts(header):
        raise VolumeError(f"'{path.name}' has no part {part}; it has {_parts(header)}.")
    if part is None and _parts(header) > 1:
        raise VolumeError(f"'{path.name}' has {rank} dimensions; choose one single 3D volume of it.")
    i, j, k = (int(header["dim"][axis]) if axis <= rank else 1 for axis in (1, 2, 3))
    return i, j, k


def _read_voxels(stream: _Stream, header: Any, *, shape: tuple[int, int, int], path: Path) -> NDArray[Any]:
    code = int(header["datatype"])
    if code not in _TYPES:
        what = _UNUSABLE_TYPES.get(code, f"voxels of an unusual type (code {code}); save it again as int16 or float32")
        raise VolumeError(f"'{path.name}' holds {what}.")
    _check_enough(path, shape, np.dtype(_TYPES[code]).itemsize)
    array = np.empty(shape, dtype=np.dtype(_TYPES[code]).newbyteorder(header.endianness), order="F")
    buffer = array.reshape(-1, order="F").view(np.uint8).data
    while buffer:
        count = stream.readinto(buffer[: 1 << 24])
        if not count:
            raise _damaged(path)
        buffer = buffer[count:]
    _read_to_the_checksum(stream)
    native = array.dtype.newbyteorder("=")
    return array if array.dtype == native else array.byteswap(inplace=True).view(native)


def _check_enough(path: Path, shape: tuple[int, int, int], itemsize: int) -> None:
    """Refuse a header that promises far more than its file can hold, before memory is taken for it."""
    most_per_byte = 1100  # of deflate, which gzip and its kin use
    if int(np.prod(shape, dtype=object)) * itemsize > path.stat().st_size * most_per_byte:
        raise _damaged(path)


def _read_to_the_checksum(stream: _Stream) -> None:
    """Check what stands behind the voxels of a compressed file; bytes behind its end are of no concern.

    Raises:
        OSError, EOFError: the checksum does not fit, or is cut off.
    """
    try:
        left = _MOST_AFTER
        while left > 0 and (more := stream.read(1 << 20)):
            left -= len(more)
            if not isinstance(stream, gzip.GzipFile):
                return
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):  # said of what follows the first stream
            raise


def _scaled(array: NDArray[Any], header: Any) -> NDArray[Any]:
    """Apply scl_slope and scl_inter; a slope of 0 means none (nifti1.h). What is no number counts as 0, as in ITK."""
    slope, intercept = (x if np.isfinite(x) else 0.0 for x in (float(header["scl_slope"]), float(header["scl_inter"])))
    if slope == 0 or (slope, intercept) == (1.0, 0.0):
        return array
    kind = np.result_type(array.dtype, np.float32)
    scaled = array.astype(kind)
    scaled *= kind.type(slope)
    scaled += kind.type(intercept)
    return scaled


def _damaged(path: Path) -> VolumeError:
    return VolumeError(f"'{path.name}' is not a readable NIfTI file: it is empty, damaged or cut off; copy it again.")


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.removesuffix(".nii").removesuffix(".hdr").removesuffix(".img")
