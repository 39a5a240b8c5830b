"""Planes are cut along the patient's axes, hung as radiologists hang them, and true to scale."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.evaluation.planes import Plane, window_of
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume

CENTER = np.array([40.0, -25.0, 310.0])
BALL_MM = 14.0


def rotation(degrees: float) -> np.ndarray:
    """A turn about a skew axis (Rodrigues)."""
    axis, angle = np.array([1.0, -2.0, 0.7]), np.radians(degrees)
    axis /= np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.fixture(params=[("upright", 0.0, 1), ("oblique", 31.0, 1), ("left-handed", 19.0, -1)], ids=lambda p: p[0])
def a_volume_with_a_ball(request: pytest.FixtureRequest) -> Volume:
    """A ball of `BALL_MM` radius, 1 inside and 0 outside, 9 mm right, 6 in front and 5 above `CENTER`."""
    _, degrees, handedness = request.param
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ np.diag([-1.1, -1.6, 3.0 * handedness])
    affine[:3, 3] = CENTER - affine[:3, :3] @ [45, 35, 20]
    grid = Grid((90, 70, 40), affine)
    ras = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    ball = np.linalg.norm(ras - CENTER - [9, 6, 5], axis=-1) < BALL_MM
    return Volume(ball.astype(np.float32), grid, "ball")


@pytest.mark.parametrize(
    ("name", "right_mm", "down_mm", "shift"),
    [("axial", -9, -6, (0, 0, 5)), ("coronal", -9, -5, (0, 6, 0)), ("sagittal", -6, -5, (9, 0, 0))],
)
def test_the_ball_appears_where_a_radiologist_looks_for_it(
    a_volume_with_a_ball: Volume, *, name: str, right_mm: float, down_mm: float, shift: tuple[float, float, float]
) -> None:
    center = CENTER + shift
    plane = Plane.through(name, center, volume=a_volume_with_a_ball.grid, field_mm=60.0)

    picture = plane.sample(a_volume_with_a_ball)

    rows, columns = np.nonzero(picture > 0.5)
    step = plane.grid.spacing[0]
    middle = (np.array(picture.shape) - 1) / 2
    assert (columns.mean() - middle[1]) * step == pytest.approx(right_mm, abs=0.4)
    assert (rows.mean() - middle[0]) * step == pytest.approx(down_mm, abs=0.4)
    assert np.ptp(columns) * step == pytest.approx(2 * BALL_MM, abs=3.0)
    assert np.ptp(rows) * step == pytest.approx(2 * BALL_MM, abs=3.0)


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_letters_name_the_side_a_point_moves_to(a_volume_with_a_ball: Volume, name: str) -> None:
    plane = Plane.through(name, CENTER, volume=a_volume_with_a_ball.grid)
    towards = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    start = plane.locate(CENTER)

    left, right, top, bottom = (plane.locate(CENTER + np.array(towards[letter])) - start for letter in plane.letters)

    assert left == pytest.approx([-1, 0, 0], abs=1e-9)
    assert right == pytest.approx([1, 0, 0], abs=1e-9)
    assert top == pytest.approx([0, -1, 0], abs=1e-9)
    assert bottom == pytest.approx([0, 1, 0], abs=1e-9)


def test_a_whole_plane_shows_all_of_the_volume_and_marks_what_is_beyond(a_volume_with_a_ball: Volume) -> None:
    grid = a_volume_with_a_ball.grid
    plane = Plane.through("axial", CENTER, volume=grid)
    picture = plane.sample(a_volume_with_a_ball)
    pixels = np.moveaxis(np.indices((*picture.T.shape, 1)), 0, -1)[:, :, 0]

    inside = np.array([[grid.contains(ras) for ras in line] for line in plane.grid.to_ras(pixels[::7, ::7])])

    assert np.array_equal(np.isfinite(picture.T[::7, ::7]), inside)
    assert inside.any()


def test_a_box_is_cut_into_the_rectangle_it_shows(a_volume_with_a_ball: Volume) -> None:
    plane = Plane.through("coronal", CENTER, volume=a_volume_with_a_ball.grid, field_mm=80.0)

    outline = plane.outline_of(Box3D.aligned(CENTER + [3, 4, 0], (20, 12, 30)))

    assert np.ptp(outline, axis=0) == pytest.approx([20, 30])
    assert polygon_area(outline) == pytest.approx(600)


def test_a_turned_box_is_cut_into_a_turned_outline(a_volume_with_a_ball: Volume) -> None:
    plane = Plane.through("axial", CENTER, volume=a_volume_with_a_ball.grid, field_mm=80.0)
    about_the_long_axis = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])

    outline = plane.outline_of(Box3D(CENTER, about_the_long_axis, np.array([20.0, 12.0, 30.0])))

    assert polygon_area(outline) == pytest.approx(240)
    assert np.ptp(outline, axis=0) == pytest.approx(
        [20 * np.cos(0.5) + 12 * np.sin(0.5), 20 * np.sin(0.5) + 12 * np.cos(0.5)]
    )


def test_a_box_beside_the_plane_leaves_no_outline(a_volume_with_a_ball: Volume) -> None:
    plane = Plane.through("sagittal", CENTER, volume=a_volume_with_a_ball.grid)

    assert len(plane.outline_of(Box3D.aligned(CENTER + [11, 0, 0], (20, 20, 20)))) == 0


def polygon_area(corners: np.ndarray) -> float:
    """The shoelace formula, for corners in order."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def test_ct_is_shown_in_a_soft_tissue_window() -> None:
    ct = np.random.default_rng(0).normal(40, 400, size=(20, 20, 20)).clip(-1000, 900).astype(np.int16)

    assert window_of(Volume(ct, Grid(ct.shape, np.eye(4)))) == (-140.0, 240.0)


def test_mr_is_shown_between_its_own_dark_and_bright() -> None:
    mr = np.zeros((40, 40, 40), dtype=np.float32)
    mr[5:35, 5:35, 5:35] = np.random.default_rng(0).uniform(100, 900, size=(30, 30, 30))
    mr[20, 20, 20] = 50_000

    low, high = window_of(Volume(mr, Grid(mr.shape, np.eye(4))))

    assert low == pytest.approx(108, abs=5)
    assert high == pytest.approx(896, abs=5)


def test_a_flat_image_still_has_a_window() -> None:
    flat = np.full((4, 4, 4), 7, dtype=np.uint8)

    low, high = window_of(Volume(flat, Grid(flat.shape, np.eye(4))))

    assert low == 7
    assert high > low
