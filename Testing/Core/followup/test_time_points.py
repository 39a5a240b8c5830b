"""Lesions along time points: one that moves and grows is followed both ways, and one that vanishes is flagged."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.session import Session
from inference_core.followup.carrying import prompts_for
from inference_core.followup.time_points import track
from inference_core.followup.visits import Earlier
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.measures.measurements import measure

GRID = oblique_grid(29, 1)
RADII = (6.0, 7.0, 8.0, 9.0, 10.0)


def place_at(point):
    """It moves by 7 mm from each point to the next: at the end none of where it was is left in it."""
    return GRID.center_ras + np.array([-14.0, 4.0, 2.0]) + point * np.array([6.0, -3.0, 2.0])


def image(point, *, gone=()):
    balls = [] if point in gone else [(place_at(point), RADII[point])]
    noise = np.random.default_rng(point).normal(0, 0.02, GRID.shape)
    array = spheres(GRID, balls) if balls else np.zeros(GRID.shape)
    return Volume((array + noise).astype(np.float32), GRID, f"point {point}")


def the_lesion(point):
    mask = Mask.of(spheres(GRID, [(place_at(point), RADII[point])]) > 0.5)
    return [Earlier("moving", prompts_for(mask, GRID), mask)]


def tracked(start, **how):
    model, told = BrightnessModel(), []
    found = track(
        the_lesion(start), lambda point: image(point, **how), lambda volume: Session(volume, model), count=len(RADII),
        start=start, tell=lambda point, name: told.append((point, name)),
    )  # fmt: skip
    return list(found), told


@pytest.mark.parametrize("start", [0, 2, 4])
def test_what_moves_and_grows_is_followed_from_any_time_point_on(start):
    found, told = tracked(start)
    order = [start, *range(start + 1, 5), *range(start - 1, -1, -1)]
    assert [at.point for at in found] == order
    assert told == [(point, "moving") for point in order[1:]]
    for at in found:
        (lesion,) = at.lesions
        numbers = measure(lesion.mask, at.volume)
        assert numbers.axial.longest.mm == pytest.approx(2 * RADII[at.point], abs=1.5), at.point
        middle = GRID.to_ras(np.argwhere(lesion.mask.array) + lesion.mask.start).mean(axis=0)
        assert np.linalg.norm(middle - place_at(at.point)) < 1.5
        assert lesion.doubt == ""


def test_one_that_vanishes_is_flagged_and_so_is_its_return():
    found, _ = tracked(0, gone=(2,))
    doubts = {at.point: at.lesions[0].doubt for at in found}
    assert doubts[0] == doubts[1] == ""
    assert doubts[2]
    assert doubts[3], "whether it is the same lesion is the reader's to say"


def test_images_are_read_when_it_is_their_turn():
    read = []

    def reading(point):
        read.append(point)
        return image(point)

    points = track(the_lesion(0), reading, lambda volume: Session(volume, BrightnessModel()), count=5)
    next(points)
    assert read == [0]
    next(points)
    assert read == [0, 1]
