"""Of nothing a model makes something up: air around a body, and masks whose surface follows no border."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.scenes import spheres

from inference_core import open_model
from inference_core.engine.evidence import (
    A_SPOT,
    IN_THE_AIR,
    LIKE_AIR,
    NO_BORDER,
    Surroundings,
    border_contrast,
    spot_at,
)
from inference_core.engine.session import Session
from inference_core.engine.windowed_prediction import LogitLayer, PromptGroup
from inference_core.evaluation.metrics import dice
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet

TISSUE = {"CT": (-1000.0, 40.0), "MR": (3.0, 400.0)}


@pytest.fixture
def a_grid(an_oblique_grid) -> Grid:
    """72 x 96 x 126 mm."""
    affine = an_oblique_grid.affine.copy()
    affine[:3, :3] *= np.array([2.0, 2.0, 1.0])
    return Grid((72, 64, 42), affine)


def a_body(grid: Grid, kind: str) -> Volume:
    """A body of 30 mm with a hole of 8 mm, in noisy air."""
    air, tissue = TISSUE[kind]
    rng = np.random.default_rng(0)
    body = spheres(grid, [(grid.center_ras, 30.0)]) - spheres(grid, [(grid.center_ras, 8.0)])
    noise = rng.normal(0, 0.01 * (tissue - air), grid.shape)
    values = air + (tissue - air) * body + (np.abs(noise) if kind == "MR" else noise)
    return Volume(values.astype(np.float32), grid)


def a_group(*prompts: Click) -> PromptGroup:
    nothing = LogitLayer(Grid((2, 2, 2), np.eye(4)), np.zeros((2, 2, 2), dtype=np.float32))
    return PromptGroup(PromptSet(prompts), nothing)


@pytest.mark.parametrize("kind", TISSUE)
def test_air_around_a_body_is_told_from_the_body_and_from_air_in_it(a_grid, kind):
    surroundings = Surroundings(a_body(a_grid, kind))
    corner, middle = Click(tuple(a_grid.to_ras([4, 4, 3]))), Click(tuple(a_grid.center_ras))
    skin = Click(tuple(a_grid.center_ras + [20.0, 0, 0]))
    assert surroundings.hold(a_group(corner))
    assert not surroundings.hold(a_group(middle))
    assert not surroundings.hold(a_group(skin))
    assert not surroundings.hold(a_group(corner, skin)), "one of the clicks is on something"
    assert surroundings.hold(a_group(corner, Click(middle.ras, positive=False)))


def test_values_around_zero_tell_nothing_of_air(a_grid):
    normalized = a_body(a_grid, "MR").array
    normalized = (normalized - normalized.mean()) / normalized.std()
    assert not Surroundings(Volume(normalized, a_grid)).hold(a_group(Click(tuple(a_grid.to_ras([4, 4, 3])))))


@pytest.mark.parametrize("kind", TISSUE)
def test_a_click_in_air_is_answered_by_a_mark_and_a_sentence(a_grid, kind):
    session = Session(a_body(a_grid, kind), open_model("sam3d_lite", device="cpu"))
    answer = session.predict(PromptSet((Click(tuple(a_grid.to_ras([4, 4, 3]))),)))
    assert 0 < answer.mask.voxel_count * a_grid.voxel_volume_mm3 < 1000
    assert answer.cautions == (IN_THE_AIR,)
    assert session.predict(PromptSet((Click(tuple(a_grid.center_ras + [20.0, 0, 0])),))).mask.array.any()


@pytest.mark.parametrize(("air", "tissue", "noise"), [(-930.0, 30.0, 30.0), (0.0, 190.0, 2.0), (4.0, 400.0, 3.0)])
def test_a_lung_or_a_cyst_that_the_image_cuts_is_answered_though_it_looks_like_air(a_grid, air, tissue, noise):
    rng = np.random.default_rng(0)
    middle_of_a_face = a_grid.to_ras([36, 32, 0])
    target = spheres(a_grid, [(middle_of_a_face, 26.0)]) > 0.5
    values = np.where(target, air, tissue) + rng.normal(0, noise, a_grid.shape)
    click = Click(tuple(a_grid.to_ras([36, 32, 6])))
    session = Session(Volume(values.astype(np.float32), a_grid), open_model("sam3d_lite", device="cpu"))
    assert session._surroundings.hold(a_group(click)), "else this test shows nothing"
    answer = session.predict(PromptSet((click,)))
    assert dice(answer.mask.on(a_grid.shape) > 0, target) > 0.8
    assert answer.cautions == (LIKE_AIR,)


@pytest.mark.parametrize("shape", [(96, 96, 1), (96, 1, 96), (96, 96, 2), (2, 1, 1), (1, 1, 1)])
def test_dark_voxels_of_a_few_slices_are_answered(shape):
    grid = Grid(shape, np.diag([1.0, 1.0, 4.0, 1.0]))
    values = np.full(shape, 2.0, dtype=np.float32)
    values[:1] = 300.0
    values += np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    click = Click(tuple(grid.to_ras(np.array(shape) - 1)))
    answer = Session(Volume(values, grid), open_model("sam3d_lite", device="cpu")).predict(PromptSet((click,)))
    assert answer.mask.voxel_count or answer.cautions


@pytest.mark.parametrize("difference", [20.0, -40.0])
def test_a_faint_lesion_in_fine_noisy_voxels_is_not_taken_for_noise(difference):
    """Next to one another the voxels on both sides of a blurred border are alike, 2 mm apart they are not."""
    grid = Grid((120, 120, 120), np.diag([0.4, 0.4, 0.4, 1.0]))
    lesion = spheres(grid, [(grid.center_ras, 12.0)])
    noise = np.random.default_rng(0).normal(40, 30, grid.shape)
    values = Volume((noise + difference * gaussian_filter(lesion, 4.0)).astype(np.float32), grid)
    assert border_contrast(Mask.of(lesion > 0.5), values) > 0.2


def noise_with_a_spot(grid: Grid, voxels: int, *, height: float = 300.0) -> tuple[Volume, tuple[int, int, int]]:
    noise = np.random.default_rng(3).normal(100, 10, grid.shape).astype(np.float32)
    i, j, k = grid.voxel_of(tuple(grid.center_ras))
    noise[i : i + voxels, j, k] += height
    return Volume(noise, grid), (i, j, k)


def test_a_click_in_noise_marks_its_surroundings_alone_and_says_so(a_grid):
    volume, voxel = noise_with_a_spot(a_grid, 0)
    answer = Session(volume, open_model("sam3d_lite", device="cpu")).predict(
        PromptSet((Click(tuple(a_grid.to_ras(voxel))),))
    )
    assert answer.mask.voxel_count * a_grid.voxel_volume_mm3 < 1000
    assert answer.cautions == (NO_BORDER,)
    assert answer.mask.at(voxel)


@pytest.mark.parametrize("height", [300.0, -80.0])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_click_on_a_few_voxels_that_stand_out_is_answered_by_these(a_grid, size, height):
    volume, voxel = noise_with_a_spot(a_grid, size, height=height)
    answer = Session(volume, open_model("sam3d_lite", device="cpu")).predict(
        PromptSet((Click(tuple(a_grid.to_ras(voxel))),))
    )
    expected = np.zeros(a_grid.shape, dtype=bool)
    expected[voxel[0] : voxel[0] + size, voxel[1], voxel[2]] = True
    assert answer.mask.voxel_count <= size + 1
    assert (answer.mask.on(a_grid.shape) & expected).sum() == min(size, answer.mask.voxel_count)
    assert answer.cautions in {(), (A_SPOT,)}


@pytest.mark.parametrize("kind", TISSUE)
def test_a_body_is_no_spot(a_grid, kind):
    assert spot_at(a_body(a_grid, kind), tuple(a_grid.center_ras + [20.0, 0, 0])) is None
    assert spot_at(a_body(a_grid, kind), tuple(a_grid.center_ras)) is None


def test_the_contrast_of_a_border_is_the_difference_in_standard_deviations(a_grid):
    rng = np.random.default_rng(0)
    ball = spheres(a_grid, [(a_grid.center_ras, 20.0)]) > 0.5
    noise = rng.normal(0, 1, a_grid.shape)
    for difference in (0.0, 1.0, 3.0):
        values = Volume((noise + difference * ball).astype(np.float32), a_grid)
        assert border_contrast(Mask.of(ball), values) == pytest.approx(difference, abs=0.12)


def test_a_target_that_is_darker_here_and_brighter_there_than_its_surroundings_has_a_border(a_grid):
    ball = spheres(a_grid, [(a_grid.center_ras, 20.0)]) > 0.5
    beside = np.broadcast_to((np.arange(72) < 36)[:, None, None], a_grid.shape)
    values = np.where(ball, 0.0, np.where(beside, 1.0, -1.0)) + np.random.default_rng(0).normal(0, 1, a_grid.shape)
    assert border_contrast(Mask.of(ball), Volume(values, a_grid)) > 0.7
