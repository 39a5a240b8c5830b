"""The protocol of clicks: equal to a plain reading of it, on oblique anisotropic grids."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from support.shared import SHARED

from inference_core.errors import PromptError, VolumeError
from inference_core.evaluation.cases import matched_pairs, read_case
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.protocol import (
    peer_segment,
    run_case,
)
from inference_core.evaluation.report import Case, as_json, dice_curves, means
from inference_core.evaluation.starts import STROKES, box_around, boxed, from_faulty_mask
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.io.files import write_labels
from inference_core.prompts.prompt_set import Click, PromptSet

SHAPE = (26, 31, 17)


@pytest.fixture
def a_left_handed_grid() -> Grid:
    turn = np.radians(21.0)
    directions = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag([-0.9, 1.4, 3.1])
    affine[:3, 3] = (-80.0, 12.5, -410.0)
    return Grid(SHAPE, affine)


@pytest.fixture
def a_target() -> np.ndarray:
    rng = np.random.default_rng(4)
    blob = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.2)
    return np.asarray(blob > 0.02)


@pytest.fixture
def a_brush(a_left_handed_grid: Grid):
    """A way to segment that paints 9 mm around positive clicks and erases 6 mm around negative ones."""

    def segment(prompts: PromptSet) -> np.ndarray:
        mask = np.zeros(SHAPE, dtype=bool)
        places = np.moveaxis(np.indices(SHAPE), 0, -1) * a_left_handed_grid.spacing
        for click in prompts.clicks:
            at = a_left_handed_grid.to_ijk(click.ras) * a_left_handed_grid.spacing
            mask[np.linalg.norm(places - at, axis=-1) < (9 if click.positive else 6)] = click.positive
        for box in prompts.boxes:
            mask |= box.contains(a_left_handed_grid.to_ras(np.moveaxis(np.indices(SHAPE), 0, -1)))
        return mask

    return segment


def test_the_curve_is_that_of_the_protocols_script(a_brush, a_target, a_left_handed_grid) -> None:
    script = SHARED / "tools" / "clicks.py"
    if not script.is_file():
        pytest.skip(f"the protocol's script is not at {script}")
    spec = importlib.util.spec_from_file_location("clicks", script)
    assert spec is not None
    assert spec.loader is not None
    clicks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(clicks)

    def as_script_wants(given):
        points = [(a_left_handed_grid.to_ras(place[::-1]), positive) for place, positive in given]
        return a_brush(PromptSet(tuple(Click(tuple(ras), positive) for ras, positive in points))).T

    wanted = clicks.curve(as_script_wants, a_target.T, a_left_handed_grid.spacing[::-1], clicks=6)
    found = run_case(a_brush, a_target, a_left_handed_grid, clicks=6)

    assert [score.dice for score in found.scores] == pytest.approx(wanted, abs=1e-12)
    assert len(set(wanted)) > 3
    assert len(found.prompts.clicks) == 6


def test_a_perfect_answer_ends_the_clicking_and_stands_for_the_rest(a_target, a_left_handed_grid) -> None:
    calls = []

    def segment(prompts: PromptSet) -> np.ndarray:
        calls.append(prompts)
        return a_target.copy() if len(prompts.clicks) == 2 else np.zeros(SHAPE, dtype=bool)

    result = run_case(segment, a_target, a_left_handed_grid, clicks=5)

    assert [score.dice for score in result.scores] == [0, 1, 1, 1, 1]
    assert [score.nsd for score in result.scores] == [0, 1, 1, 1, 1]
    assert [score.seconds for score in result.scores][2:] == [0, 0, 0]
    assert len(calls) == 2


def test_a_box_comes_first_and_the_clicks_correct_it(a_brush, a_target, a_left_handed_grid) -> None:
    result = run_case(a_brush, a_target, a_left_handed_grid, clicks=2, start=boxed(0.1))

    box = box_around(a_target, a_left_handed_grid)
    answer = a_brush(result.prompts.without(2).without(1))
    assert result.prompts.boxes == (box,)
    assert result.start is not None
    assert result.start.dice == pytest.approx(dice(answer, a_target))
    assert len(result.scores) == 2
    assert not result.prompts.clicks[0].positive  # the brush paints the whole box, so that the first error is spill


def test_the_box_holds_every_voxel_of_the_target_with_room_to_spare(a_target, a_left_handed_grid) -> None:
    box = box_around(a_target, a_left_handed_grid)

    corners = a_left_handed_grid.to_ijk(box.corners_ras)
    voxels = np.argwhere(a_target)
    size = np.ptp(voxels, axis=0) + 1
    assert np.allclose(corners.min(axis=0), voxels.min(axis=0) - 0.5 - 0.1 * size)
    assert np.allclose(corners.max(axis=0), voxels.max(axis=0) + 0.5 + 0.1 * size)


def test_classical_methods_see_the_clicked_voxels(a_left_handed_grid) -> None:
    seen = []
    volume = Volume(np.zeros(SHAPE, dtype=np.int16), a_left_handed_grid)

    def method(image, spacing, clicks):
        seen.append((image.shape, spacing, list(clicks)))
        return np.zeros(SHAPE, dtype=bool)

    ras = a_left_handed_grid.to_ras((3, 4, 5))
    peer_segment(volume, method)(PromptSet((Click(tuple(ras)), Click(tuple(ras), positive=False))))

    assert seen == [(SHAPE, a_left_handed_grid.spacing, [((3, 4, 5), True), ((3, 4, 5), False)])]


@pytest.mark.parametrize("start", [None, boxed(0.1), *STROKES.values(), from_faulty_mask(0)])
def test_an_empty_target_is_refused(a_brush, a_left_handed_grid, start) -> None:
    with pytest.raises(PromptError, match="target is empty"):
        run_case(a_brush, np.zeros(SHAPE, dtype=bool), a_left_handed_grid, clicks=1, start=start)


def test_no_clicks_are_refused(a_brush, a_target, a_left_handed_grid) -> None:
    with pytest.raises(PromptError, match="at least one click"):
        run_case(a_brush, a_target, a_left_handed_grid, clicks=0)


def test_means_are_taken_over_cases_click_by_click(a_brush, a_target, a_left_handed_grid) -> None:
    results = [run_case(a_brush, target, a_left_handed_grid, clicks=3) for target in (a_target, ~a_target)]
    cases = [Case(f"image {n}", f"label {n}", result) for n, result in enumerate(results)]

    content = as_json(cases)

    first, second = (case["dice"] for case in content["cases"])
    assert content["mean"]["dice"] == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)])
    assert dice_curves(cases) == {"image 0": first, "image 1": second}
    assert "start" not in content
    assert "start" not in content["cases"][0]
    assert means([]) == {"dice": [], "nsd": []}


def test_pairs_are_found_in_sorted_order_and_in_sub_folders(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.nii").touch()
        (tmp_path / name / "label.nii").touch()

    pairs = matched_pairs(str(tmp_path / "**" / "image.nii"), str(tmp_path / "*" / "label.nii"))

    assert [(image.parent.name, label.parent.name) for image, label in pairs] == [("a", "a"), ("b", "b"), ("c", "c")]
    (tmp_path / "c" / "label.nii").unlink()
    with pytest.raises(VolumeError, match="3 images but 2 label maps"):
        matched_pairs(str(tmp_path / "**" / "image.nii"), str(tmp_path / "*" / "label.nii"))
    with pytest.raises(VolumeError, match="finds nothing"):
        matched_pairs(str(tmp_path / "*.png"), str(tmp_path / "*" / "label.nii"))


def test_a_label_map_on_another_grid_or_without_the_label_is_refused(
    tmp_path: Path, a_target, a_left_handed_grid
) -> None:
    image, labels, moved = (tmp_path / f"{name}.nii.gz" for name in ("image", "labels", "moved"))
    write_labels(image, a_target, a_left_handed_grid)
    write_labels(labels, np.where(a_target, 2, 0), a_left_handed_grid)
    affine = a_left_handed_grid.affine.copy()
    affine[:3, 3] += (0.5, 0, 0)
    write_labels(moved, a_target, Grid(SHAPE, affine))

    assert np.array_equal(read_case(image, labels)[1], a_target)
    assert np.array_equal(read_case(image, labels, label=2)[1], a_target)
    with pytest.raises(VolumeError, match="a voxel of label 7"):
        read_case(image, labels, label=7)
    with pytest.raises(VolumeError, match="not on the grid"):
        read_case(image, moved)


def test_the_same_prompts_in_other_orders_are_compared_with_the_answer(a_brush, a_target, a_left_handed_grid) -> None:
    """A brush that goes by the last click gives other masks in other orders; one that only adds does not."""
    found = run_case(a_brush, a_target, a_left_handed_grid, clicks=30, orders=3)
    assert len(found.orders) == 3
    assert min(found.orders) < 1.0
    adding = run_case(
        lambda prompts: a_brush(PromptSet(tuple(replace(click, positive=True) for click in prompts.clicks))),
        a_target,
        a_left_handed_grid,
        clicks=4,
        orders=3,
    )
    assert adding.orders == (1.0, 1.0, 1.0)
