"""Windows: where they lie, that geometry survives them, and that nothing is cut or lost by them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import oblique_grid, spheres

from inference_core.engine.session import Session
from inference_core.engine.windows import candidate_windows, canonical_axes, touched_faces, window_at, windows_over
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.geometry.sampling import resample_onto, sample_window
from inference_core.geometry.volume import Volume
from inference_core.models.spec import Padding, WindowSpec
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

WINDOW = WindowSpec((32, 32, 32), (1.0, 2.0, 4.0), Padding.REFLECT, any_spacing=True)
angles = st.floats(-44, 44)


@pytest.mark.parametrize("spacing", range(3))
@pytest.mark.parametrize("orientation", range(48))
def test_a_clicked_sphere_is_found_where_it_is(a_model, orientation, spacing):
    grid = oblique_grid(orientation, spacing, size_mm=36.0)
    center = grid.center_ras + np.array([1.3, -2.1, 0.7])
    volume = Volume(spheres(grid, [(center, 9.0)], soft_mm=1.5), grid)
    mask = Session(volume, a_model).predict(PromptSet((Click(tuple(center)),))).mask.on(grid.shape)
    centroid = np.argwhere(mask).mean(axis=0)
    assert np.abs(centroid - grid.to_ijk(center)).max() < 0.5
    expected = 4 / 3 * np.pi * 9.0**3
    assert abs(mask.sum() * grid.voxel_volume_mm3 / expected - 1) < 0.06


@settings(max_examples=100, deadline=None)
@given(
    orientation=st.integers(0, 47),
    spacing=st.integers(0, 2),
    degrees=st.tuples(angles, angles, angles),
    offset=st.tuples(*[st.floats(-30, 30)] * 3),
    step=st.floats(0.5, 5.0),
)
def test_world_to_voxel_to_window_to_world_comes_back(orientation, spacing, degrees, offset, step):
    grid = oblique_grid(orientation, spacing, degrees=degrees)
    point = grid.center_ras + np.array(offset)
    window = window_at(grid.center_ras, WINDOW, spacing=step, axes=canonical_axes(grid))
    through_voxels = grid.to_ras(grid.to_ijk(point))
    np.testing.assert_allclose(window.to_ras(window.to_ijk(through_voxels)), point, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(orientation=st.integers(0, 47), spacing=st.integers(0, 2), degrees=st.tuples(angles, angles, angles))
def test_a_linear_field_survives_window_and_way_back(orientation, spacing, degrees):
    grid = oblique_grid(orientation, spacing, degrees=degrees, size_mm=40.0)
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    slope = np.array([0.3, -0.7, 0.5])
    field = (grid.to_ras(ijk) @ slope).astype(np.float32)
    window = window_at(grid.center_ras, WINDOW, spacing=0.5, axes=canonical_axes(grid))
    sampled = sample_window(Volume(field, grid), window, reflect=True)
    back = resample_onto(sampled, window, grid, outside=np.nan)
    inner = np.all((window.to_ijk(grid.to_ras(ijk)) > 1) & (window.to_ijk(grid.to_ras(ijk)) < 30), axis=-1)
    assert inner.sum() > 50
    np.testing.assert_allclose(back[inner], field[inner], atol=2e-3)


def test_canonical_axes_are_the_volumes_own_nearest_to_ras():
    for orientation in range(48):
        grid = oblique_grid(orientation, 1)
        axes = canonical_axes(grid)
        own = grid.affine[:3, :3] / np.asarray(grid.spacing)
        assert (np.diag(axes) > 0.5).all()
        assert all(np.isclose(np.abs(own.T @ axes[:, n]).max(), 1) for n in range(3))


def test_a_single_click_lies_on_the_center_voxel_of_every_window(an_oblique_grid):
    click = Click(tuple(an_oblique_grid.center_ras + 3))
    for window in candidate_windows(PromptSet((click,)), WINDOW, an_oblique_grid):
        np.testing.assert_allclose(window.to_ijk(click.ras), 16, atol=1e-9)


def test_a_box_chooses_one_window_that_holds_it_with_context(an_oblique_grid):
    box = Box3D(an_oblique_grid.center_ras, np.eye(3), np.array([30.0, 12.0, 8.0]))
    (window,) = candidate_windows(PromptSet((BoxPrompt(box),)), WINDOW, an_oblique_grid)
    corners = window.to_ijk(box.corners_ras)
    assert corners.min() > 2
    assert corners.max() < 29
    assert np.ptp(corners, axis=0).max() > 16


@pytest.mark.parametrize(("edge_mm", "spacing"), [(10, 1.0), (70, 70 / 32), (128, 4.0), (9999, 16.0)])
def test_the_user_may_say_how_far_to_look(an_oblique_grid, edge_mm, spacing):
    click = PromptSet((Click(tuple(an_oblique_grid.center_ras)),))
    (window,) = candidate_windows(click, WINDOW, an_oblique_grid, edge_mm=edge_mm)
    assert window.spacing == pytest.approx([spacing] * 3)
    stepwise = replace(WINDOW, any_spacing=False)
    (window,) = candidate_windows(click, stepwise, an_oblique_grid, edge_mm=edge_mm)
    nearest = min((1.0, 2.0, 4.0), key=lambda step: abs(32 * step - edge_mm))
    assert window.spacing[0] == pytest.approx(nearest)


def test_clicks_further_apart_than_the_width_asked_for_widen_it(an_oblique_grid):
    ends = [an_oblique_grid.center_ras + (0, 0, offset) for offset in (-30, 30)]
    (window,) = candidate_windows(PromptSet(tuple(Click(tuple(end)) for end in ends)), WINDOW, Grid(
        (200, 200, 200), an_oblique_grid.affine), edge_mm=32)  # fmt: skip
    assert all(window.contains(end) for end in ends)
    assert window.spacing[0] < 4


def test_a_box_says_more_than_a_width(an_oblique_grid):
    box = Box3D.in_voxels(an_oblique_grid, center_ijk=np.array(an_oblique_grid.shape) / 2, size_ijk=(20, 20, 10))
    prompts = PromptSet((BoxPrompt(box),))
    assert candidate_windows(prompts, WINDOW, an_oblique_grid, edge_mm=500) == candidate_windows(
        prompts, WINDOW, an_oblique_grid
    )


def test_a_session_told_how_far_to_look_encodes_one_window_for_a_click(a_model, a_volume, a_ball):
    session = Session(a_volume, a_model, window_mm=48)
    prediction = session.predict(PromptSet((Click(tuple(a_ball[0])),)))
    assert prediction.window.spacing[0] * prediction.window.shape[0] == pytest.approx(48)
    assert len(a_model.encoded) == 1


def test_scales_wider_than_the_whole_volume_are_not_tried():
    grid = oblique_grid(5, 0, size_mm=30.0)
    windows = candidate_windows(PromptSet((Click(tuple(grid.center_ras)),)), WINDOW, grid)
    assert [window.spacing[0] for window in windows] == pytest.approx([1.0, 2.0])


def test_a_face_is_touched_only_where_the_volume_goes_on_behind_it(an_oblique_grid):
    inside = np.zeros((32, 32, 32), dtype=bool)
    inside[0, 10:20, 10:20] = True
    axes = canonical_axes(an_oblique_grid)
    middle = window_at(an_oblique_grid.center_ras, WINDOW, spacing=1.0, axes=axes)
    assert touched_faces(inside, middle, an_oblique_grid)
    beyond = window_at(an_oblique_grid.center_ras, WINDOW, spacing=4.0, axes=axes)
    assert not touched_faces(inside, beyond, an_oblique_grid)


def test_tiles_cover_what_they_are_asked_to_cover():
    window = isotropic_grid((3, 4, 5), shape=(32, 32, 32), spacing=4.0)
    patches = windows_over((3, 5, 7), (29, 20, 11), window, spacing=2.0)
    points = np.random.default_rng(0).uniform((3, 5, 7), (29, 20, 11), (500, 3))
    assert all(any(patch.contains(point) for patch in patches) for point in window.to_ras(points))
    assert all(patch.spacing == pytest.approx((2.0, 2.0, 2.0)) for patch in patches)


def test_a_target_wider_than_the_window_is_not_cut_straight(a_model):
    grid = oblique_grid(17, 2, size_mm=330.0, degrees=(0, 0, 20))
    grid = Grid(tuple(n // 2 for n in grid.shape), _coarser(grid.affine, 2.0))
    center = grid.center_ras
    volume = Volume(spheres(grid, [(center, 140.0)], soft_mm=3.0), grid)
    found = Session(volume, a_model).predict(PromptSet((Click(tuple(center)),)))
    mask, truth = found.mask.on(grid.shape) > 0, volume.array > 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.98


def test_a_four_millimeter_nodule_in_a_wide_volume_is_found(a_model):
    grid = oblique_grid(40, 1, size_mm=120.0)
    center = grid.to_ras(np.round(np.asarray(grid.shape) * 0.6))
    volume = Volume(spheres(grid, [(center, 2.6)], soft_mm=0.8), grid)
    found = Session(volume, a_model).predict(PromptSet((Click(tuple(center)),)))
    truth = volume.array > 0.5
    mask = found.mask.on(grid.shape) > 0
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.6


def test_clicks_further_apart_than_any_window_are_all_answered(a_model):
    grid = Grid((300, 40, 40), oblique_grid(22, 0).affine)
    near, far = grid.to_ras([20, 20, 20]), grid.to_ras([280, 22, 18])
    volume = Volume(spheres(grid, [(near, 7.0), (far, 9.0)]), grid)
    found = Session(volume, a_model).predict(PromptSet((Click(tuple(near)), Click(tuple(far)))))
    mask, truth = found.mask.on(grid.shape) > 0, volume.array > 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95


def test_a_first_click_costs_the_same_in_a_volume_ten_times_as_long(a_model):
    short, long = (Volume(np.zeros((256, 256, n), dtype=np.int16, order="F"), _upright(256, n)) for n in (60, 600))
    seconds = {
        name: min(_first_click(volume, a_model) for _ in range(5)) for name, volume in (("s", short), ("l", long))
    }
    assert seconds["l"] < 2 * seconds["s"] + 0.02


def _first_click(volume, model) -> float:
    session = Session(volume, model)
    started = time.process_time()
    session.predict(PromptSet((Click(tuple(volume.grid.center_ras)),)))
    return time.process_time() - started


def _upright(n, slices) -> Grid:
    return isotropic_grid((0, 0, 0), shape=(n, n, slices), spacing=0.8)


def _coarser(affine, factor):
    result = affine.copy()
    result[:3, :3] *= factor
    return result
