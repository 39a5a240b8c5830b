"""Which of a NIfTI header's two orientations places its voxels: the one that Slicer shows, and so ITK's choice.

ITK (5.4, `itkNiftiImageIO.cxx`, tried on headers of every kind) takes the sform where its code is 1 (scanner) or there
is no qform, provided that its axes are at right angles; otherwise the qform. It takes directions and origin from that
form, but the distances between voxels from `pixdim`, whatever the form's own lengths are.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid, HeaderForms

_log = logging.getLogger(__name__)

_TO_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
SCANNER = 1
_RIGHT_ANGLES = 4e-4  # between a cosine that ITK takes for rounding (1e-4) and one that it does not (8e-4)
_SAME_LENGTH = 1e-3
_SAME_MM = 1e-2


def grid_of_header(header: Any, shape: tuple[int, int, int], path: Path) -> Grid:
    """The grid of a nibabel header, which carries both forms for a mask to be written with.

    Raises:
        VolumeError: the geometry cannot be trusted.
    """
    to_mm = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    sform, qform = _sform(header, to_mm), _qform(header, to_mm)
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64) * to_mm
    form = _chosen(sform, qform, int(header["sform_code"]), path)
    if form is None:
        _log.warning("'%s' does not say how it lies in the patient; its axes are taken as left, posterior, up.", path)
        form = LPS_FROM_RAS @ np.diag([*np.abs(spacing), 1.0])
    affine = _with_lengths(form, spacing, path)
    codes = [max(0, int(header[name])) for name in ("sform_code", "qform_code")]
    forms = HeaderForms(sform=sform, qform=qform, sform_code=codes[0], qform_code=codes[1])
    return Grid(shape, affine, forms)


def fill_forms(header: Any, grid: Grid) -> None:
    """Write a grid into a NIfTI-1 header: both forms as they were read, or the grid itself as both.

    A quaternion of more than unit length, as rounding makes one, cannot be read back by nibabel: it is never written.
    """
    forms = grid.forms
    sform = grid.affine if forms is None or forms.sform is None else forms.sform
    qform = grid.affine if forms is None or forms.qform is None else forms.qform
    header["xyzt_units"] = 2
    header["sform_code"] = SCANNER if forms is None else forms.sform_code
    header["qform_code"] = SCANNER if forms is None else forms.qform_code
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = sform[row]
    handedness, bcd = quaternion(qform[:3, :3] / np.linalg.norm(qform[:3, :3], axis=0))
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = bcd
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = qform[:3, 3]
    header["pixdim"] = (handedness, *grid.spacing, 1, 1, 1, 1)


def _sform(header: Any, to_mm: float) -> Float | None:
    if header["sform_code"] <= 0:
        return None
    rows = np.array([header[name] for name in ("srow_x", "srow_y", "srow_z")], dtype=np.float64)
    return np.vstack([rows * to_mm, (0, 0, 0, 1)])


def _qform(header: Any, to_mm: float) -> Float | None:
    """The matrix of the quaternion form ("method 2" in nifti1.h)."""
    if header["qform_code"] <= 0:
        return None
    pixdim = np.asarray(header["pixdim"], dtype=np.float64)
    affine = np.eye(4)
    handed = np.array([1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0])
    bcd = np.array([header[name] for name in ("quatern_b", "quatern_c", "quatern_d")], dtype=np.float64)
    affine[:3, :3] = rotations(bcd) * np.abs(pixdim[1:4]) * to_mm * handed
    affine[:3, 3] = np.array([header[name] for name in ("qoffset_x", "qoffset_y", "qoffset_z")]) * to_mm
    return affine


def _chosen(sform: Float | None, qform: Float | None, code: int, path: Path) -> Float | None:
    """The form that Slicer shows; a warning where the other one says something else."""
    if sform is None or qform is None:
        return qform if sform is None else sform
    if not _upright(sform):
        _log.warning("'%s' has an sform that is no rotation; its qform is used, as Slicer does.", path.name)
        return qform
    if not _upright(qform):
        return sform
    used, chosen = ("sform", sform) if code == SCANNER else ("qform", qform)
    if not np.allclose(sform, qform, rtol=0, atol=_SAME_MM):
        _log.warning(
            "'%s' has two orientations that disagree (sform and qform); the %s is used, as Slicer does.",
            path.name,
            used,
        )
    return chosen


def _upright(form: Float) -> bool:
    """Whether a form's axes are finite, not of length zero, and at right angles."""
    lengths = np.linalg.norm(form[:3, :3], axis=0)
    if not np.isfinite(form).all() or lengths.min() == 0:
        return False
    axes = form[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _RIGHT_ANGLES)


def _with_lengths(form: Float, spacing: Float, path: Path) -> Float:
    """A form's directions and origin with the distances of pixdim."""
    lengths = np.linalg.norm(form[:3, :3], axis=0)
    if not np.isfinite(form).all() or lengths.min() == 0:
        return form  # Grid says what is wrong with it
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise VolumeError(
            f"'{path.name}' has a voxel size (pixdim) that is zero, negative or not a number; correct its header."
        )
    if np.allclose(lengths, spacing, rtol=_SAME_LENGTH, atol=0):
        return form
    _log.warning(
        "'%s' gives two voxel sizes: %s mm (pixdim), which is used as Slicer does, and %s mm (sform).",
        path.name, _by(spacing), _by(lengths),
    )  # fmt: skip
    scaled = form.copy()
    scaled[:3, :3] *= spacing / lengths
    return scaled


def rotations(bcd: Float) -> Float:
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


def quaternion(axes: Float) -> tuple[float, Float]:
    """qfac (-1 for left-handed axes) and the single-precision b, c, d nearest to a rotation (3, 3).

    The format leaves out a = sqrt(1 - b2 - c2 - d2), which loses digits where a is near 0 (any oblique LPS image), so
    the neighboring single-precision numbers are tried and the best kept, of those that are not longer than one. Even so
    up to 7e-4 of rotation can be lost, which is why readers, this one and ITK included, take the sform first.
    """
    from nibabel.quaternions import mat2quat

    handedness = 1.0 if np.linalg.det(axes) > 0 else -1.0
    rotation = axes * (1.0, 1.0, handedness)
    exact = np.asarray(mat2quat(rotation), dtype=np.float64)
    bcd = (exact[1:] * (1.0 if exact[0] >= 0 else -1.0)).astype(np.float32)
    steps = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    # Below 1, as below any power of two, single-precision numbers lie twice as near as above it.
    apart = np.spacing(np.nextafter(np.abs(bcd), np.float32(0)))
    near = np.clip((bcd + steps * apart).astype(np.float32), -1, 1).astype(np.float64)
    near = _fitted(near)
    error = np.abs(rotations(near) - rotation).max(axis=(-2, -1))
    error[(near**2).sum(axis=-1) > 1.0] += 1.0
    return handedness, near[error.argmin()]


def _fitted(bcd: Float) -> Float:
    """Quaternions (n, 3) whose smaller parts are cut to the room that the largest leaves below unit length."""
    largest = np.abs(bcd) == np.abs(bcd).max(axis=-1, keepdims=True)
    rest = np.where(largest, 0.0, bcd**2).sum(axis=-1, keepdims=True)
    room = np.maximum(0.0, 1.0 - np.where(largest, bcd**2, 0.0).sum(axis=-1, keepdims=True))
    shrunk = np.sqrt(np.divide(room, rest, out=np.ones_like(rest), where=rest > room)) * (1 - 1e-7)
    return np.where(largest | (rest <= room), bcd, (bcd * shrunk).astype(np.float32).astype(np.float64))


def _by(numbers: Float) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
