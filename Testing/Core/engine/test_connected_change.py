"""A correction changes what it points at: what hangs together with the click, in the click's direction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from support.scenes import SPEC, BrightnessModel, oblique_grid, spheres

from inference_core.engine.connected_change import connected_change
from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import Session
from inference_core.geometry.grid import isotropic_grid
from inference_core.geometry.sampling import rescaled
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded
from inference_core.models.spec import ModelSpec
from inference_core.prompts.prompt_set import Click, PromptSet

WIDE = replace(SPEC, window=replace(SPEC.window, shape=(48, 48, 48)))
CELLS = isotropic_grid((5.0, -3.0, 8.0), shape=(24, 24, 24), spacing=2.0, axes=oblique_grid(11, 1).directions)
GRID = oblique_grid(orientation=19, spacing=1, size_mm=110.0)
# On two axes of the volume from its middle: a bulge on a target's surface, and a hole in it.
BULGE, HOLE = (11.5, 11.5), (6.0, -7.0)


def place(along: float, aside: float = 0.0) -> np.ndarray:
    return GRID.center_ras + GRID.directions[:, :2] @ (along, aside)


@dataclass
class FickleModel(BrightnessModel):
    """Follows a second click, and at once bulges beside it and loses a part of the target."""

    spec: ModelSpec = WIDE

    def decode(self, embedding, prompts, prior) -> Decoded:
        decoded = super().decode(embedding, prompts, prior)
        if len(prompts.points) < 2:
            return decoded
        ras = embedding.grid.to_ras(np.moveaxis(np.indices(embedding.grid.shape), 0, -1))
        logits = decoded.low_res_logits.copy()
        logits[np.linalg.norm(ras - place(*BULGE), axis=-1) < 4.0] = 8.0
        logits[np.linalg.norm(ras - place(*HOLE), axis=-1) < 3.0] = -8.0
        clicked = embedding.grid.to_ras(prompts.points[-1])
        logits[np.linalg.norm(ras - clicked, axis=-1) < 5.0] = 8.0 if prompts.labels[-1] else -8.0
        return Decoded(logits, decoded.quality)


def answered(second: Click, **options) -> tuple[np.ndarray, np.ndarray]:
    """The masks after a click in the target's middle, and after another one."""
    volume = Volume(spheres(GRID, [(place(0.0), 15.0)], soft_mm=4.0), GRID, "ball")
    session, first = Session(volume, FickleModel()), Click(tuple(place(0.0)))
    runs = (PromptSet((first,)), PromptSet((first, second)))
    before, after = (
        session.predict(run, options=MaskOptions(**options)).mask.on(GRID.shape).astype(bool) for run in runs
    )
    return before, after


def at(along: float, aside: float = 0.0) -> tuple[int, int, int]:
    return GRID.voxel_of(place(along, aside))


def test_a_foreground_click_adds_what_hangs_together_with_it_and_removes_nothing():
    before, after = answered(Click(tuple(place(18.0))))
    added = GRID.to_ras(np.argwhere(after & ~before))
    assert len(added) > 50
    assert np.linalg.norm(added - place(18.0), axis=1).max() < 8.0
    assert not (before & ~after).any()


def test_a_background_click_removes_what_hangs_together_with_it_and_adds_nothing():
    before, after = answered(Click(tuple(place(14.0)), positive=False))
    removed = GRID.to_ras(np.argwhere(before & ~after))
    assert len(removed) > 50
    assert np.linalg.norm(removed - place(14.0), axis=1).max() < 8.0
    assert not (after & ~before).any()


@pytest.mark.parametrize("second", [Click(tuple(place(18.0))), Click(tuple(place(14.0)), positive=False)])
def test_where_corrections_count_everywhere_all_of_an_answer_anew_holds(second):
    before, after = answered(second, local_corrections=False)
    assert (after & ~before)[at(12.5, 12.5)]
    assert (before & ~after)[at(*HOLE)]


def test_a_click_beside_the_one_before_it_means_more_than_what_it_points_at():
    """The second one says that the first was not enough."""
    first, second = Click(tuple(place(0.0))), Click(tuple(place(10.0)))
    assert np.linalg.norm(np.subtract(first.ras, second.ras)) < 15.0
    before, after = answered(second)
    assert (before & ~after).any()


def cells_around(center_ijk, radius: float) -> np.ndarray:
    return np.linalg.norm(np.moveaxis(np.indices(CELLS.shape), 0, -1) - center_ijk, axis=-1) <= radius


@pytest.mark.parametrize("positive", [True, False])
def test_of_two_pieces_that_change_the_one_at_the_click_may(positive):
    near, far = cells_around((6, 6, 6), 3), cells_around((17, 17, 17), 4)
    old = np.full(CELLS.shape, -5.0 if positive else 5.0, np.float32)
    new = np.where(near | far, -old, old)
    change = connected_change(Click(tuple(CELLS.to_ras((6, 6, 7))), positive), new, old, CELLS)
    assert change is not None
    allowed = change.share > 0
    assert (allowed & near).sum() == near.sum()
    assert not (allowed & far).any()
    kept = change.kept_to(new, old, CELLS)
    assert np.array_equal(kept != old, near)
    assert np.array_equal(kept[near], new[near])
    assert np.array_equal(change.kept_to(-new, -old, CELLS), -old)


def test_finer_cells_change_where_the_coarser_ones_do():
    near = cells_around((6, 6, 6), 3)
    old = np.full(CELLS.shape, -5.0, np.float32)
    change = connected_change(Click(tuple(CELLS.to_ras((6, 6, 6)))), np.where(near, -old, old), old, CELLS)
    fine = rescaled(CELLS.cropped((0, 0, 0), (12, 12, 12)), (48, 48, 48))
    kept = change.kept_to(np.full(fine.shape, 5.0, np.float32), np.full(fine.shape, -5.0, np.float32), fine)
    ijk = CELLS.to_ijk(fine.to_ras(np.argwhere(kept > 0)))
    assert 2.5 < np.linalg.norm(ijk - 6, axis=1).max() < 3 + 2 * np.sqrt(3)


def test_a_click_that_changes_nothing_near_it_does_not_tell_what_it_means():
    old = np.full(CELLS.shape, -5.0, np.float32)
    far = np.where(cells_around((17, 17, 17), 4), -old, old)
    click = Click(tuple(CELLS.to_ras((6, 6, 6))))
    assert connected_change(click, far, old, CELLS) is None
    assert connected_change(click, old, old, CELLS) is None
