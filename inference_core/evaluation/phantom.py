"""A synthetic abdominal CT with tumors whose every voxel is known: for demonstrations and tests, not for claims.

The patient is painted in their own millimeters and sampled on the grid asked for: a tilted grid cuts the same anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.evaluation import anatomy
from inference_core.evaluation.shapes import Blob, Canvas, Float32, Point, blurred, waves
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.prompts.simulation import deepest_voxel

LABEL_NAMES = {
    1: "liver metastasis",
    2: "small liver metastasis",
    3: "left kidney mass",
    anatomy.LIVER: "liver",
    anatomy.SPLEEN: "spleen",
    anatomy.RIGHT_KIDNEY: "right kidney",
    anatomy.LEFT_KIDNEY: "left kidney",
    anatomy.AORTA: "aorta",
    anatomy.SPINE: "spine",
}

# A scanner's origin is nowhere near the patient's middle, and tests should not assume it is.
_BODY_CENTER_RAS = (-6.0, 14.0, -205.0)
_NOISE_HU = 11.0


@dataclass(frozen=True)
class Tumor:
    """A tumor of the phantom.

    label, its value in the label volume; center_ras, its deepest voxel in RAS mm; hu, the mean of its voxels before
    blur and noise; organ_hu, that of the tissue it grows in.
    """

    name: str
    label: int
    center_ras: Point
    volume_ml: float
    hu: float
    organ_hu: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """The CT (int16 HU), its labels (uint8, see `LABEL_NAMES`) on the same grid, and the tumors in view."""

    volume: Volume
    labels: Volume
    tumors: list[Tumor]


@dataclass(frozen=True)
class _Lesion:
    """A tumor before it is painted: lobes that make its shape, and a darker core `core_mm` under its surface."""

    label: int
    lobes: tuple[Blob, ...]
    hu: float
    organ_hu: float
    core_hu: float
    core_mm: float


def make_phantom(
    *,
    shape: tuple[int, int, int] = (256, 256, 80),
    spacing: tuple[float, float, float] = (1.4, 1.4, 3.0),
    seed: int = 0,
    oblique_degrees: float = 0.0,
) -> Phantom:
    """Paint a patient.

    Args:
        shape: voxels along i, j, k; at oblique_degrees 0 these run to the patient's left, back and head, as in most CT.
        spacing: mm along i, j, k.
        seed: the patient: body size, organ shapes, texture and noise.
        oblique_degrees: tilt of the grid about the left-right axis, as of a gantry; half as much about the long axis.

    Raises:
        VolumeError: the grid shows none of the tumors.
    """
    grid = _grid(shape, spacing, oblique_degrees=oblique_degrees)
    canvas = Canvas.on(grid, center_ras=_BODY_CENTER_RAS)
    body = anatomy.Body.of(seed)
    _paint_patient(canvas, body)
    lesions = _lesions(body)
    for lesion in lesions:
        _paint_lesion(canvas, lesion, seed=seed)
    tumors = [_measured(canvas, lesion) for lesion in lesions if (canvas.labels == lesion.label).any()]
    if not tumors:
        raise VolumeError("This grid shows none of the phantom's tumors; give it a larger shape or spacing.")
    volume = Volume(_scanned(canvas, seed=seed), grid, "Phantom CT")
    return Phantom(volume, Volume(canvas.labels, grid, "Phantom labels"), tumors)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], *, oblique_degrees: float) -> Grid:
    tilt, turn = np.radians(oblique_degrees), np.radians(oblique_degrees / 2)
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-1, -1, 1]) * spacing
    affine[:3, 3] = np.array(_BODY_CENTER_RAS) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _paint_patient(canvas: Canvas, body: anatomy.Body) -> None:
    depth = anatomy.paint_body(canvas, body)
    dome = anatomy.diaphragm_height(canvas)
    anatomy.paint_digestive(canvas, body, depth=depth, dome=dome)
    anatomy.paint_spleen(canvas, body, depth=depth, dome=dome)
    anatomy.paint_kidneys(canvas, body)
    anatomy.paint_liver(canvas, body, depth=depth, dome=dome)
    anatomy.paint_chest(canvas, body, depth=depth, dome=dome)
    anatomy.paint_back(canvas, body, depth=depth)
    anatomy.paint_ribs(canvas, depth=depth)


def _lesions(body: anatomy.Body) -> list[_Lesion]:
    """The tumors of a patient; each seed moves them a little within their organ."""
    rng = np.random.default_rng(body.seed + 50)

    def near(x: float, y: float, z: float) -> Point:
        return (x + rng.uniform(-4, 4), y + rng.uniform(-4, 4), z + rng.uniform(-4, 4))

    x, y, z = near(88, 4, 26)
    irregular = tuple(
        Blob((x + dx, y + dy, z + dz), (radius, radius, radius), wave=1.3, wavelength=13, seed=body.seed + n)
        for n, (dx, dy, dz, radius) in enumerate(((0, 0, 0, 13.0), (9, 7, 4, 9.0), (-8, 6, -5, 9.5), (2, -10, 3, 8.0)))
    )
    small = (Blob(near(36, 42, 32), (5.4, 5.0, 5.2), wave=0.3, wavelength=12, seed=body.seed),)
    kx, ky, kz = body.kidney(-1).center
    mass = (Blob((kx - 22, ky - 4, kz - 24), (18, 17, 19), wave=1.4, wavelength=24, seed=body.seed),)
    return [
        _Lesion(1, irregular, hu=62.0, organ_hu=anatomy.HU_LIVER, core_hu=42.0, core_mm=8.0),
        _Lesion(2, small, hu=66.0, organ_hu=anatomy.HU_LIVER, core_hu=66.0, core_mm=99.0),
        _Lesion(3, mass, hu=88.0, organ_hu=anatomy.HU_CORTEX, core_hu=55.0, core_mm=11.0),
    ]


def _paint_lesion(canvas: Canvas, lesion: _Lesion, *, seed: int) -> None:
    first = lesion.lobes[0]
    box = canvas.box(first.center, max(first.radii) + 24)
    depth = np.max([lobe.depth(canvas, box) for lobe in lesion.lobes], axis=0)
    x, y, z = canvas.x[box], canvas.y[box], canvas.z[box]
    tissue = lesion.hu + 5 * waves(x, y, z, wavelength=12, seed=seed + lesion.label)
    canvas.paint(box, depth > 0, hu=tissue, label=lesion.label)
    core = lesion.core_mm + 2 * waves(x, y, z, wavelength=15, seed=seed + 10 * lesion.label)
    canvas.paint(box, depth > core, hu=lesion.core_hu)


def _measured(canvas: Canvas, lesion: _Lesion) -> Tumor:
    grid, inside = canvas.grid, canvas.labels == lesion.label
    center = grid.to_ras(deepest_voxel(inside, grid.spacing))
    return Tumor(
        name=LABEL_NAMES[lesion.label],
        label=lesion.label,
        center_ras=(float(center[0]), float(center[1]), float(center[2])),
        volume_ml=float(np.count_nonzero(inside) * grid.voxel_volume_mm3 / 1000),
        hu=float(canvas.hu[inside].mean()),
        organ_hu=lesion.organ_hu,
    )


def _scanned(canvas: Canvas, *, seed: int) -> NDArray[np.int16]:
    """What a scanner makes of the painting: blur, parenchymal texture, and noise that grows towards the middle."""
    spacing = canvas.grid.spacing
    hu = blurred(canvas.hu, (0.95, 0.95, 1.2), spacing=spacing)
    rng = np.random.default_rng(seed + 99)
    off_axis = (canvas.x**2 + canvas.y**2) / np.float32(110.0**2)
    hu += np.float32(_NOISE_HU) * (0.35 + 0.65 * np.exp(-off_axis)) * _correlated_noise(canvas.hu.shape, rng)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def _correlated_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
    """Unit noise with the grain of filtered back-projection: little at the lowest and at the highest frequencies."""
    white = rng.standard_normal(shape, dtype=np.float32)
    voxel = (1.0, 1.0, 1.0)
    grain = blurred(white, (0.75, 0.75, 0.45), spacing=voxel) - 0.8 * blurred(white, (2.0, 2.0, 0.6), spacing=voxel)
    return np.asarray(grain / grain.std(), dtype=np.float32)
