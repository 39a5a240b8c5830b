"""Masks on another grid: finer, coarser, turned or flipped, compared with the shape itself on the target's voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.scenes import oblique_grid

from inference_core.evaluation.metrics import dice
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.geometry.regridding import on_grid, regridded
from inference_core.geometry.sampling import rescaled

TARGET = oblique_grid(orientation=29, spacing=1, size_mm=32.0)
CENTER = TARGET.center_ras


def turned(grid):
    """About its middle, by angles that no axis shares."""
    matrix, back = np.eye(4), np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -13, 31], degrees=True).as_matrix()
    matrix[:3, 3], back[:3, 3] = CENTER, -CENTER
    return Grid(grid.shape, matrix @ back @ grid.affine)


def finer(grid, factor):
    return rescaled(grid, tuple(round(factor * n) for n in grid.shape))


AXIAL = np.diag([-0.5, 0.5, 0.6, 1.0])
AXIAL[:3, 3] = CENTER + (20.0, -20.0, -19.0)
GRIDS = {
    "twice as fine": finer(TARGET, 2),
    "three times as fine": finer(TARGET, 3),
    "a third finer": finer(TARGET, 4 / 3),
    "turned": turned(TARGET),
    "turned and finer": turned(finer(TARGET, 2)),
    "axial": Grid((80, 80, 64), AXIAL),
}


def ball(grid, radius, center=CENTER):
    places = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.linalg.norm(places - center, axis=-1) < radius


@pytest.mark.parametrize("name", GRIDS)
def test_a_ball_stays_the_ball_that_it_is(name):
    grid = GRIDS[name]
    moved = on_grid(Mask.of(ball(grid, 9.0)), grid, TARGET)
    assert dice(moved.on(TARGET.shape) > 0, ball(TARGET, 9.0)) > 0.95
    there = moved.voxel_count * TARGET.voxel_volume_mm3
    assert there == pytest.approx(4 / 3 * np.pi * 9.0**3, rel=0.1)


def test_what_is_flipped_or_shifted_by_whole_voxels_is_the_same():
    affine = TARGET.affine @ np.diag([-1.0, 1, -1, 1])
    affine[:3, 3] = TARGET.to_ras((TARGET.shape[0] + 2, -3, TARGET.shape[2] - 1))
    grid = Grid((TARGET.shape[0] + 6, TARGET.shape[1] + 8, TARGET.shape[2]), affine)
    moved = on_grid(Mask.of(ball(grid, 9.0)), grid, TARGET)
    assert np.array_equal(moved.on(TARGET.shape) > 0, ball(TARGET, 9.0))
    assert regridded({"a": (Mask.of(ball(grid, 9.0)), grid)}, TARGET, on="ct", names={"a": "a"}).note == ""


def test_one_large_mask_is_the_same_in_slabs():
    grid = GRIDS["turned and finer"]
    mask = Mask.of(ball(grid, 9.0))
    whole = on_grid(mask, grid, TARGET)
    slabs = on_grid(mask, grid, TARGET, most_samples=2000)
    assert whole.start == slabs.start
    assert np.array_equal(whole.array, slabs.array)


def test_what_became_of_each_is_said():
    grid = turned(finer(TARGET, 2))
    edge = TARGET.to_ras((0, TARGET.shape[1] / 2, TARGET.shape[2] / 2))
    beside = TARGET.to_ras((-12, TARGET.shape[1] / 2, TARGET.shape[2] / 2))
    speck = np.zeros(grid.shape, dtype=bool)
    speck[tuple(grid.nearest_voxels(CENTER + 0.3))] = True
    wide = Grid(tuple(2 * n for n in grid.shape), grid.affine)
    wide = Grid(wide.shape, np.column_stack([wide.affine[:, :3], [*grid.to_ras(np.array(grid.shape) / -2), 1.0]]))
    masks = {
        "a": Mask.of(ball(wide, 6.0)), "b": Mask.of(ball(wide, 6.0, edge)), "c": Mask.of(ball(wide, 5.0, beside)),
        "e": EMPTY,
    }  # fmt: skip
    found = regridded(
        {key: (mask, wide) for key, mask in masks.items()}, TARGET, on="ct",
        names={key: f"lesion {key}" for key in masks},
    )  # fmt: skip
    assert set(found.masks) == {"a", "b", "e"}
    assert found.note.startswith("The masks lie on other voxels than 'ct'; they were resampled onto its own.")
    assert "'lesion c': beside it, and left out." in found.note
    assert "'lesion b': cut where the image ends." in found.note
    lost = regridded({"d": (Mask.of(speck), grid)}, TARGET, on="ct", names={"d": "speck"})
    assert not lost.masks["d"].array.size
    assert "'speck': smaller than its voxels, and empty there." in lost.note


def test_the_same_voxels_are_no_word_worth():
    found = regridded({"a": (Mask.of(ball(TARGET, 6.0)), TARGET)}, TARGET, on="ct", names={"a": "a"})
    assert found.note == ""
    assert np.array_equal(found.masks["a"].on(TARGET.shape) > 0, ball(TARGET, 6.0))
