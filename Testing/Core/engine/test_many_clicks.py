"""One more click costs what a click costs, however many there are before it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.click_consistency import _logits_at
from inference_core.engine.session import Session
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet


@dataclass(frozen=True)
class CountedClick(Click):
    """Counts how often clicks are hashed."""

    hashes: ClassVar[list[int]] = [0]

    def __hash__(self):
        self.hashes[0] += 1
        return hash((self.ras, self.positive))


@pytest.fixture
def a_volume():
    grid = oblique_grid(5, 1, size_mm=36.0)
    return Volume(spheres(grid, [(grid.center_ras, 9.0)]), grid)


def clicks_on(volume, count):
    """Clicks in the ball and around it, as a careful user places them."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.where(np.arange(count) % 2, rng.uniform(11, 14, count), rng.uniform(0, 7, count))
    places = volume.grid.center_ras + radii[:, None] * directions
    return [CountedClick(tuple(place), n % 2 == 0) for n, place in enumerate(places)]


def test_one_more_click_looks_at_each_click_before_it_a_few_times_only(a_volume):
    session, prompts = Session(a_volume, BrightnessModel(), refine=False), PromptSet()
    for count, click in enumerate(clicks_on(a_volume, 120), start=1):
        prompts = prompts.with_(click)
        CountedClick.hashes[0] = 0
        session.predict(prompts)
        assert CountedClick.hashes[0] <= 10 * count


def test_one_more_click_decodes_once(a_volume):
    model = BrightnessModel()
    session, prompts = Session(a_volume, model, refine=False), PromptSet()
    for click in clicks_on(a_volume, 60):
        prompts, before = prompts.with_(click), model.decoded
        session.predict(prompts)
        assert model.decoded - before <= 3


class CountedSurface:
    """Values that differ from voxel to voxel, and how often they are asked for."""

    def __init__(self):
        self.values = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
        self.asked = 0

    def logits(self, box):
        self.asked += 1
        return self.values[box.slices()]


def test_voxels_that_lie_close_together_are_asked_for_together():
    surface = CountedSurface()
    voxels = np.random.default_rng(1).integers(20, 44, size=(900, 3))
    found = _logits_at(voxels, surface)
    assert surface.asked <= 27
    assert np.array_equal(found, [surface.values[tuple(voxel)] for voxel in voxels])
    assert _logits_at(voxels[:0], surface).shape == (0,)


def test_a_later_click_wins_over_an_earlier_one_beside_it(a_volume):
    """Clicks that the model contradicts everywhere, one upon the other."""
    center = np.asarray(a_volume.grid.center_ras)
    apart = a_volume.grid.directions @ np.diag(a_volume.grid.spacing)
    places = [center, center + apart[:, 0], center + apart[:, 1], center]
    prompts = PromptSet(tuple(Click(tuple(place), n % 2 == 0) for n, place in enumerate(places)))
    for bias in (-20.0, 20.0):
        mask = Session(a_volume, BrightnessModel(bias=bias)).predict(prompts).mask.on(a_volume.grid.shape)
        found = [bool(mask[a_volume.grid.voxel_of(click.ras)]) for click in prompts.clicks]
        assert found == [False, False, True, False]
