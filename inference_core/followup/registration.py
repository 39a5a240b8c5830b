"""Aligns two images of one patient by SimpleITK: rigidly or affinely, by Mattes mutual information.

An alignment is a matrix (4, 4) that maps RAS mm of the earlier visit to RAS mm of the later one.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import OptionError, VolumeError
from inference_core.followup.warping import Bent, Warp, bent_by_itk, linear_part
from inference_core.geometry.grid import LPS_FROM_RAS, Float, apply_affine
from inference_core.geometry.values import is_constant, with_background
from inference_core.geometry.volume import Volume
from inference_core.io.itk import simpleitk, sitk_from_array
from inference_core.io.opening import check_readable

RIGID, AFFINE, NONE, GIVEN = "rigid", "affine", "none", "given"
_VOXEL_MM = 2.0
_SHRINKING, _SMOOTHING_MM = (4, 2, 1), (6.0, 3.0, 0.0)
_BINS, _SAMPLES, _SEED = 32, 1e5, 7
# Of the gray values' rank correlation; images of one patient in one modality are far above it.
_ALIKE = 0.3
_CLEARLY = 0.1
_FLAT = 1e-6
# Places along each axis at which to look whether a transform has a way; odd, so that the middle is one.
_LOOKS = 5


@dataclass(frozen=True, eq=False)
class Alignment:
    """matrix (4, 4): RAS mm before to RAS mm after; how it was found; how far it moved the image's middle, in mm.

    Of a transform that bends, `bent` has the points' way, and the matrix is what it does around the image's middle, or
    around the place nearest to it, of some, where it has a way there and back.
    """

    matrix: Float
    how: str
    moved_mm: float
    caution: str = ""
    bent: Bent | None = None

    @property
    def way(self) -> Float | Warp:
        """What carries points."""
        return self.matrix if self.bent is None else self.bent.warp


def align(before: Volume, after: Volume, *, how: str = RIGID) -> Alignment:
    """Align two visits: "rigid", "affine", or "none" where they share a frame of reference.

    The same images give the same matrix, to the last digits that threads leave open.

    Raises:
        OptionError: there is no such way.
        VolumeError: an image has one single value, or the images cannot be aligned.
    """
    if how not in (RIGID, AFFINE, NONE):
        raise OptionError("The alignment is '{how}'; give rigid, affine or none.", how=how)
    if how == NONE:
        return Alignment(np.eye(4), how, 0.0)
    for volume in (before, after):
        if is_constant(volume.array):
            raise VolumeError("'{name}' has one single value; there is nothing to align it by.", name=volume.name)
    fixed, moving = _prepared(before), _prepared(after)
    start = _best_start(fixed, moving)
    try:
        found = _registered(fixed, moving, start, affine=False)
        if how == AFFINE:
            found = _registered(fixed, moving, found, affine=True)
    except RuntimeError as error:
        raise VolumeError(
            "'{before}' and '{after}' cannot be aligned; choose images of the same region, or align them yourself.",
            before=before.name,
            after=after.name,
        ) from error
    matrix = _matrix_of(found)
    return Alignment(matrix, how, _moved_mm(matrix, before), _caution(_alike(fixed, moving, found)))


def read_alignment(path: str | os.PathLike[str], *, moves_the_image: bool = False) -> Alignment:
    """The user's own transform, as ITK and Slicer write it (.tfm, .txt, .mat, .h5); see `given_alignment` for the rest.

    One that bends (a displacement field, B-splines) carries points, too; where its way back is needed, it is found by
    iteration, and refused where there is none.

    By default from the earlier visit's points to the later one's, as it resamples the later image onto the earlier one
    (ITK, the earlier image fixed). With `moves_the_image` it is one that moves the earlier image onto the later one, as
    Slicer saves it: a file then holds the points' way back.

    Raises:
        VolumeError: the file cannot be read, or its transform has no way back.
    """
    name = Path(path).name
    if stat.S_ISDIR(check_readable(Path(path)).st_mode):
        raise VolumeError("'{name}' is a folder; give the transform's file.", name=name)
    try:
        transform = simpleitk().ReadTransform(os.fspath(path))
    except RuntimeError as error:
        raise VolumeError("'{name}' is no transform that can be read; give a .tfm, .mat or .h5.", name=name) from error
    if transform.GetDimension() != 3:
        raise VolumeError("The transform '{name}' is not one of three dimensions; give a 3D one.", name=name)
    if not transform.IsLinear():
        return Alignment(np.eye(4), GIVEN, 0.0, bent=bent_by_itk(transform, name, forward=not moves_the_image))
    matrix = _matrix_of(transform)
    check_invertible(matrix, name)
    return Alignment(_inverse(matrix) if moves_the_image else matrix, GIVEN, 0.0)


def check_invertible(matrix: Float, name: str) -> None:
    """Refuse a transform that flattens the image, or has no numbers.

    Raises:
        VolumeError: as said.
    """
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < _FLAT:
        raise VolumeError("The transform '{name}' flattens the image; give a rigid or affine one.", name=name)


def given(alignment: Alignment, before: Volume, after: Volume) -> Alignment:
    """An alignment that was read, with how far it moves the image and a caution where the images speak against it.

    Raises:
        VolumeError: it bends, and has no way back anywhere in the earlier image.
    """
    if alignment.bent is None:
        return given_alignment(alignment.matrix, before, after)
    return given_bent(alignment.bent, before, after)


def given_bent(bent: Bent, before: Volume, after: Volume) -> Alignment:
    """As `given_alignment`, of a transform that bends.

    Raises:
        VolumeError: it has no way back anywhere in the earlier image.
    """
    at, matrix = _around_the_middle(bent, before)
    moved, caution = float(np.linalg.norm(apply_affine(matrix, at) - at)), ""
    if not is_constant(before.array) and not is_constant(after.array):
        first, second = (_prepared(volume) for volume in ((before, after) if bent.forward else (after, before)))
        caution = _against(_alike(first, second, bent.transform), _alike(second, first, bent.transform))
    return Alignment(matrix, GIVEN, moved, caution, bent)


def _around_the_middle(bent: Bent, before: Volume) -> tuple[Float, Float]:
    """Of some places, RAS mm, the one nearest to an image's middle that has a way, and the matrix (4, 4) there."""
    shape = np.array(before.grid.shape) - 1
    places = before.grid.to_ras(np.moveaxis(np.indices((_LOOKS,) * 3), 0, -1).reshape(-1, 3) / (_LOOKS - 1) * shape)
    far = np.linalg.norm(places - before.grid.center_ras, axis=1)
    refusal: VolumeError | None = None
    for at in places[np.argsort(far, kind="stable")]:
        matrix = np.eye(4)
        try:
            matrix[:3, :3] = linear_part(bent.warp, at)
            matrix[:3, 3] = bent.warp(at[None])[0] - matrix[:3, :3] @ at
        except VolumeError as error:
            refusal = refusal or error
        else:
            return at, matrix
    assert refusal is not None, "there are places"
    raise refusal


def given_alignment(matrix: Float, before: Volume, after: Volume) -> Alignment:
    """The user's own alignment (4, 4), RAS mm before to RAS mm after, with a caution where the images speak against it.

    That is where they are little alike, or clearly more alike the other way round.
    """
    moved = _moved_mm(matrix, before)
    if is_constant(before.array) or is_constant(after.array):
        return Alignment(matrix, GIVEN, moved)
    fixed, moving = _prepared(before), _prepared(after)
    this, other = (_alike(fixed, moving, _transform_of(way)) for way in (matrix, _inverse(matrix)))
    return Alignment(matrix, GIVEN, moved, _against(this, other))


def _prepared(volume: Volume) -> Any:
    """As float32 between the 1st and the 99th percentile, of voxels of 2 mm or more."""
    sitk = simpleitk()
    array = np.asarray(with_background(volume.array), dtype=np.float32)
    steps = tuple(slice(None, None, max(1, n // 64)) for n in array.shape)
    low, high = np.percentile(array[steps], (1, 99))
    image = sitk_from_array(np.clip(array, low, max(high, low + 1e-6)), volume.grid)
    factors = [max(1, round(_VOXEL_MM / step)) for step in volume.grid.spacing]
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def _method(fixed: Any) -> Any:
    sitk = simpleitk()
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    count = float(np.prod(fixed.GetSize()))
    method.SetMetricSamplingPercentage(min(1.0, _SAMPLES / count), _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _best_start(fixed: Any, moving: Any) -> Any:
    """Of where the images lie, their centers and their centers of mass, what makes them most alike."""
    sitk = simpleitk()
    center = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    starts = [sitk.Euler3DTransform(center)]
    for mode in (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS):
        found = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), mode)
        starts.append(sitk.Euler3DTransform(found))
    return min(starts, key=lambda start: _unlikeness(fixed, moving, start))


def _unlikeness(fixed: Any, moving: Any, transform: Any) -> float:
    method = _method(fixed)
    method.SetInitialTransform(transform, inPlace=False)
    try:
        return float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:  # they do not meet at all
        return float("inf")


def _registered(fixed: Any, moving: Any, start: Any, *, affine: bool) -> Any:
    sitk = simpleitk()
    method = _method(fixed)
    if affine:
        rigid = start
        start = sitk.AffineTransform(3)
        start.SetMatrix(rigid.GetMatrix())
        start.SetTranslation(rigid.GetTranslation())
        start.SetCenter(rigid.GetCenter())
    smallest = min(fixed.GetSize())
    levels = [n for n, shrink in enumerate(_SHRINKING) if shrink == 1 or smallest >= 8 * shrink]
    method.SetShrinkFactorsPerLevel([_SHRINKING[n] for n in levels])
    method.SetSmoothingSigmasPerLevel([_SMOOTHING_MM[n] for n in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=100, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _alike(fixed: Any, moving: Any, transform: Any) -> float | None:
    """The rank correlation of the aligned images' gray values; None where the images hardly overlap."""
    sitk = simpleitk()
    resampled = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, float("nan"))
    one, other = (sitk.GetArrayViewFromImage(image).ravel()[::7] for image in (fixed, resampled))
    both = np.isfinite(other)
    if both.sum() < 100:
        return None
    ranks = [values.argsort().argsort() for values in (one[both], other[both])]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _against(this: float | None, other: float | None) -> str:
    """What speaks against a transform by how alike the images are under it, and under it the other way round."""
    if other is not None and other > (this or 0.0) + _CLEARLY:
        return "The images fit better with the transform the other way round."
    return _caution(this)


def _caution(alike: float | None) -> str:
    """A sentence where the aligned images are little alike; empty where they are."""
    if alike is None:
        return "The images hardly overlap; look at the carried prompts before you use them."
    if alike >= _ALIKE:
        return ""
    return f"The aligned images are little alike (rank correlation {alike:.2f}); look at the carried prompts."


def _inverse(matrix: Float) -> Float:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _moved_mm(matrix: Float, volume: Volume) -> float:
    center = volume.grid.center_ras
    return float(np.linalg.norm(apply_affine(matrix, center) - center))


def _transform_of(matrix: Float) -> Any:
    """A matrix (4, 4) of RAS mm as SimpleITK's transform, which is of LPS mm."""
    lps = LPS_FROM_RAS @ matrix @ LPS_FROM_RAS
    transform = simpleitk().AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def _matrix_of(transform: Any) -> Float:
    """A linear transform of LPS mm as a matrix (4, 4) of RAS mm."""
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.asarray(transform.TransformPoint(tuple(unit))) - origin for unit in np.eye(3)]
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = np.stack(columns, axis=1), origin
    return LPS_FROM_RAS @ lps @ LPS_FROM_RAS
