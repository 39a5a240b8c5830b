"""What is given before the first click: drawn where the target is, on grids of any orientation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from inference_core.errors import PromptError
from inference_core.evaluation.faulty_masks import FAULTS, faulty_mask
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.protocol import run_case
from inference_core.evaluation.report import Case, start_of
from inference_core.evaluation.starts import from_faulty_mask, lassoed, lined, scribbled
from inference_core.geometry.grid import Grid
from inference_core.prompts.polygon import PlanarOutline
from inference_core.prompts.prompt_set import PromptSet

SHAPE = (17, 30, 36)


@pytest.fixture
def an_oblique_grid() -> Grid:
    """The first index runs nearest to inferior-superior, in slices of 4 mm."""
    turn = np.radians(24.0)
    directions = np.array([[0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)], [-1.0, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag([4.0, 0.8, 1.3])
    affine[:3, 3] = (31.0, -90.0, 512.0)
    return Grid(SHAPE, affine)


@pytest.fixture
def a_target() -> np.ndarray:
    """A ball flattened and cut, and a smaller piece beside it, so that the longest line across all would miss it."""
    i, j, k = np.indices(SHAPE)
    large = ((i - 8) / 2.6) ** 2 + ((j - 12) / 9) ** 2 + ((k - 14) / 6) ** 2 < 1
    return large | (((i - 8) / 1.5) ** 2 + (j - 26) ** 2 + (k - 32) ** 2 < 4)


def test_the_line_ends_at_the_rim_and_is_the_longest_of_its_piece(a_target, an_oblique_grid) -> None:
    (line,) = lined(a_target, an_oblique_grid).strokes

    start, end = an_oblique_grid.to_ijk(line.points_ras)
    places = np.argwhere(ndimage.label(a_target)[0] == 1)
    lengths = []
    for number in np.unique(places[:, 0]):
        mm = places[places[:, 0] == number] * an_oblique_grid.spacing
        lengths.append(np.linalg.norm(mm[:, None] - mm[None], axis=-1).max())
    assert line.length_mm == pytest.approx(max(lengths))
    assert start[0] == pytest.approx(end[0])
    assert all(a_target[tuple(np.rint(place).astype(int))] for place in (start, end))


def test_the_scribble_stays_in_the_largest_slice_and_runs_along_the_target(a_target, an_oblique_grid) -> None:
    (scribble,) = scribbled(a_target, an_oblique_grid).strokes

    voxels = np.rint(an_oblique_grid.to_ijk(scribble.points_ras)).astype(int)
    assert set(voxels[:, 0]) == {8}
    assert all(a_target[tuple(voxel)] for voxel in voxels)
    extent = np.ptp(voxels, axis=0) * an_oblique_grid.spacing
    assert extent[2] > 6  # of 15 mm; along j the target is as long, and the stroke is one way only
    assert 3 < len(voxels) <= 12


def test_the_lasso_holds_its_slice_of_the_target_and_nothing_else(a_target, an_oblique_grid) -> None:
    (lasso,) = lassoed(a_target, an_oblique_grid).strokes

    points = an_oblique_grid.to_ijk(lasso.points_ras)
    assert np.allclose(points[:, 0], 8)
    j, k = (axis.ravel() for axis in np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[2]), indexing="ij"))
    places = np.stack([np.full(len(j), 8), j, k], axis=1)
    outline = PlanarOutline.around(np.array(lasso.points_ras))
    inside = outline.holds(an_oblique_grid.to_ras(places)).reshape(SHAPE[1:])
    assert np.array_equal(inside, ndimage.label(a_target[8])[0] == 1)


@pytest.mark.parametrize("seed", range(2 * len(FAULTS)))
def test_a_mask_with_a_fault_is_near_the_target_and_wrong(a_target, an_oblique_grid, seed) -> None:
    found = faulty_mask(a_target, an_oblique_grid.spacing, seed=seed)

    assert 0.3 < dice(found, a_target) < 0.99
    assert np.array_equal(found, faulty_mask(a_target, an_oblique_grid.spacing, seed=seed))


def test_each_fault_does_what_its_name_says(a_target, an_oblique_grid) -> None:
    made = {name: faulty_mask(a_target, an_oblique_grid.spacing, seed=n) for n, name in enumerate(FAULTS)}

    for name in ("shrunk", "cut", "hollow"):
        assert not (made[name] & ~a_target).any(), name
    for name in ("leaked", "spilled", "elsewhere"):
        assert not (a_target & ~made[name]).any(), name
    # What is elsewhere touches nothing of the target.
    pieces, _ = ndimage.label(made["elsewhere"])
    assert (~np.isin(pieces[made["elsewhere"] & ~a_target], np.unique(pieces[a_target]))).all()


def test_a_fault_of_one_voxel_leaves_something() -> None:
    target = np.zeros((5, 5, 5), dtype=bool)
    target[2, 2, 2] = True

    assert all(faulty_mask(target, (0.7, 1.0, 3.0), seed=seed).any() for seed in range(16))


def test_the_first_click_corrects_the_mask_that_was_given_and_is_judged_by_it(a_target, an_oblique_grid) -> None:
    """Of a way to segment that keeps what it is given until it is clicked, and then forgets it."""

    def segment(prompts: PromptSet) -> np.ndarray:
        assert prompts.initial_mask is not None
        given = prompts.initial_mask.array > 0
        return np.roll(given, 3, axis=1) if prompts.prompts else given

    result = run_case(segment, a_target, an_oblique_grid, clicks=2, start=from_faulty_mask(3))

    mask = faulty_mask(a_target, an_oblique_grid.spacing, seed=3)
    assert result.start is not None
    assert result.start.dice == pytest.approx(dice(mask, a_target))
    assert result.prompts.clicks[0].positive  # what was cut off is missing
    start = start_of([Case("a/image", "a/label", result)])
    assert start is not None
    assert (start.worse, start.harmed, start.cases) == (1, 1, 1)
    assert start.worst_fall == pytest.approx(result.scores[0].dice - result.start.dice)


def test_a_line_through_one_voxel_is_refused(an_oblique_grid) -> None:
    target = np.zeros(SHAPE, dtype=bool)
    target[4, 5, 6] = True

    with pytest.raises(PromptError, match="no length"):
        lined(target, an_oblique_grid)
