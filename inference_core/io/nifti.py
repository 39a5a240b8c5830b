"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz), either byte order.

Read and written here, not through ITK, which fills what a cut-off file lacks with zeros, and which by rules of its own
may orthogonalise a sheared sform or prefer the qform.
Source: the NIfTI-1 (nifti1.h) and NIfTI-2 (nifti2.h) header definitions, https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid
from inference_core.geometry.volume import Volume

_Stream = gzip.GzipFile | io.BufferedReader

_log = logging.getLogger(__name__)

_VOXEL_FIELDS = ("sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter")
_PLACE_FIELDS = ("xyzt_units", "qform_code", "sform_code", "quatern", "qoffset", "srow", "magic")
_NIFTI1 = np.dtype(
    {
        "names": (*_VOXEL_FIELDS, *_PLACE_FIELDS),
        "formats": ("i4", "8i2", "i2", "i2", "8f4", "f4", "f4", "f4", "u1", "i2", "i2", "3f4", "3f4", "(3,4)f4", "S4"),
        "offsets": (0, 40, 70, 72, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280, 344),
        "itemsize": 348,
    }
)
_NIFTI2 = np.dtype(
    {
        "names": (*_VOXEL_FIELDS, *_PLACE_FIELDS),
        "formats": ("i4", "8i8", "i2", "i2", "8f8", "i8", "f8", "f8", "i4", "i4", "i4", "3f8", "3f8", "(3,4)f8", "S4"),
        "offsets": (0, 16, 12, 14, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400, 4),
        "itemsize": 540,
    }
)
_LAYOUTS = (_NIFTI1.newbyteorder("<"), _NIFTI1.newbyteorder(">"), _NIFTI2.newbyteorder("<"), _NIFTI2.newbyteorder(">"))
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_UNUSABLE_TYPES = {
    32: "complex numbers; load its magnitude image instead",
    1792: "complex numbers; load its magnitude image instead",
    2048: "complex numbers; load its magnitude image instead",
    128: "colors; choose a scalar CT, MR or PET volume",
    2304: "colors; choose a scalar CT, MR or PET volume",
}
_MILLIMETERS = {1: 1000.0, 2: 1.0, 3: 0.001}
_SCANNER = 1


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI volume: its voxels in their own type, in float where the file scales them.

    Raises:
        VolumeError: the file is damaged or cut off, not one scalar 3D volume, or its geometry cannot be trusted.
    """
    try:
        with _opened(path) as stream:
            header = _read_header(stream, path)
            shape = _shape(header, path)
            grid = Grid(shape, _affine(header, path))
            array = _read_voxels(stream, header, shape=shape, path=path)
    except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
        raise _damaged(path) from error
    return Volume(_scaled(array, header), grid, _stem(path))


def write_nifti(path: Path, array: NDArray[np.uint8], grid: Grid) -> None:
    """Write an array (i, j, k) as NIfTI-1, its grid both as sform and as qform; gzip where the name ends in .gz."""
    header = np.zeros((), dtype=_NIFTI1.newbyteorder("<"))
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1", 352
    header["dim"] = (3, *grid.shape, 1, 1, 1, 1)
    header["datatype"], header["bitpix"], header["scl_slope"], header["xyzt_units"] = 2, 8, 1, 2
    header["sform_code"] = header["qform_code"] = _SCANNER
    header["srow"] = grid.affine[:3]
    header["qoffset"] = grid.affine[:3, 3]
    handedness, header["quatern"] = _quaternion(grid)
    header["pixdim"] = (handedness, *grid.spacing, 1, 1, 1, 1)
    with path.open("wb") as raw:
        compress = path.name.lower().endswith(".gz")
        stream: Any = gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) if compress else raw
        stream.write(header.tobytes() + bytes(4))
        for k in range(grid.shape[2]):
            stream.write(array[:, :, k].tobytes(order="F"))
        if compress:
            stream.close()


def _opened(path: Path) -> _Stream:
    """The file's plain bytes; compression is told by its first two bytes, since names lie."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _read_header(stream: _Stream, path: Path) -> Any:
    start = stream.read(_NIFTI2.itemsize)
    for layout in _LAYOUTS:
        header = np.frombuffer(start.ljust(layout.itemsize, b"\0"), layout, 1)[0]
        if header["sizeof_hdr"] != layout.itemsize or len(start) < layout.itemsize:
            continue
        if header["magic"] in (b"n+1", b"n+2"):
            return header
        raise VolumeError(f"'{path.name}' is an Analyze or two-file NIfTI image; save it again as one .nii.gz file.")
    raise _damaged(path)


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    """The three sizes; trailing dimensions of one are dropped."""
    rank = int(header["dim"][0])
    if not 1 <= rank <= 7 or (header["dim"][1 : rank + 1] < 1).any():
        raise _damaged(path)
    extra = [int(n) for n in header["dim"][4 : rank + 1]]
    if any(n > 1 for n in extra):
        raise VolumeError(f"'{path.name}' has {rank} dimensions; choose one single 3D volume of it.")
    i, j, k = (int(header["dim"][axis]) if axis <= rank else 1 for axis in (1, 2, 3))
    return i, j, k


def _affine(header: Any, path: Path) -> Float:
    """The (4, 4) ijk to RAS mm matrix: the sform where the file has one, else the qform, as the standard ranks them."""
    to_mm = _MILLIMETERS.get(int(header["xyzt_units"]) & 7, 1.0)
    forms = []
    if header["sform_code"] > 0:
        forms.append(np.vstack([np.asarray(header["srow"], dtype=np.float64), (0, 0, 0, 1)]))
    if header["qform_code"] > 0:
        forms.append(_qform(header))
    if not forms:
        _log.warning("'%s' does not say how it lies in the patient; its axes are taken as left, posterior, up.", path)
        forms.append(LPS_FROM_RAS @ np.diag([*np.abs(header["pixdim"][1:4]), 1.0]))
    if len(forms) == 2 and not np.allclose(forms[0], forms[1], rtol=0, atol=1e-2):
        _log.warning("'%s' has two orientations that disagree (sform and qform); the sform is used.", path)
    affine = forms[0]
    affine[:3] *= to_mm
    return affine


def _qform(header: Any) -> Float:
    """The matrix of the quaternion form ("method 2" in nifti1.h)."""
    pixdim = np.asarray(header["pixdim"], dtype=np.float64)
    affine = np.eye(4)
    handed = np.array([1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0])
    affine[:3, :3] = _rotations(np.asarray(header["quatern"], dtype=np.float64)) * pixdim[1:4] * handed
    affine[:3, 3] = header["qoffset"]
    return affine


def _rotations(bcd: Float) -> Float:
    """Rotation matrices (..., 3, 3) of quaternions (..., 3) given by b, c, d; a is what makes them unit length."""
    norm = np.sqrt(np.maximum(1.0, (bcd**2).sum(-1, keepdims=True)))
    b, c, d = np.moveaxis(bcd / norm, -1, 0)
    a = np.sqrt(np.maximum(0.0, 1.0 - b * b - c * c - d * d))
    rows = (
        (a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b),
    )
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def _quaternion(grid: Grid) -> tuple[float, Float]:
    """qfac (-1 for a left-handed grid) and the single-precision b, c, d nearest the grid's rotation.

    The format leaves out a = sqrt(1 - b2 - c2 - d2), which loses digits where a is near 0 (any oblique LPS image), so
    the neighboring single-precision numbers are tried and the best kept. Even so up to 4e-4 of rotation can be lost,
    which is why readers, this one and ITK included, take the sform first.
    """
    rotation = grid.affine[:3, :3] / np.asarray(grid.spacing)
    handedness = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    rotation = rotation * (1.0, 1.0, handedness)
    # The quaternion is the eigenvector of this symmetric matrix's largest eigenvalue (Bar-Itzhack 2000, section III).
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    bcd = (quaternion[1:] * (1.0 if quaternion[0] >= 0 else -1.0)).astype(np.float32)
    steps = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    near = np.clip((bcd + steps * np.spacing(np.abs(bcd))).astype(np.float32), -1, 1).astype(np.float64)
    error = np.abs(_rotations(near) - rotation).max(axis=(-2, -1))
    return handedness, near[error.argmin()]


def _read_voxels(stream: _Stream, header: Any, *, shape: tuple[int, int, int], path: Path) -> NDArray[Any]:
    code = int(header["datatype"])
    if code not in _TYPES:
        what = _UNUSABLE_TYPES.get(code, f"voxels of an unusual type (code {code}); save it again as int16 or float32")
        raise VolumeError(f"'{path.name}' holds {what}.")
    order = header.dtype["sizeof_hdr"].byteorder
    stream.seek(max(int(header["vox_offset"]), header.dtype.itemsize))
    array = np.empty(shape, dtype=np.dtype(_TYPES[code]).newbyteorder(order), order="F")
    buffer = array.reshape(-1, order="F").view(np.uint8).data
    while buffer:
        count = stream.readinto(buffer[: 1 << 24])
        if not count:
            raise _damaged(path)
        buffer = buffer[count:]
    stream.read(1)  # reaches the gzip checksum, and so checks it
    native = array.dtype.newbyteorder("=")
    return array if array.dtype == native else array.byteswap(inplace=True).view(native)


def _scaled(array: NDArray[Any], header: Any) -> NDArray[Any]:
    """Apply scl_slope and scl_inter; a slope of 0 means none (nifti1.h)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite([slope, intercept]).all() or (slope, intercept) == (1.0, 0.0):
        return array
    kind = np.result_type(array.dtype, np.float32)
    scaled = array.astype(kind)
    scaled *= kind.type(slope)
    scaled += kind.type(intercept)
    return scaled


def _damaged(path: Path) -> VolumeError:
    return VolumeError(f"'{path.name}' is not a readable NIfTI file: it is empty, damaged or cut off; copy it again.")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
