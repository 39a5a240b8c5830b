"""A ball in an oblique, anisotropic volume, and a model that finds it."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume


@pytest.fixture
def a_model() -> BrightnessModel:
    return BrightnessModel()


@pytest.fixture
def an_oblique_grid() -> Grid:
    return oblique_grid(orientation=29, spacing=1)


@pytest.fixture
def a_ball(an_oblique_grid) -> tuple[np.ndarray, float]:
    return an_oblique_grid.center_ras + np.array([6.0, -4.0, 3.0]), 11.0


@pytest.fixture
def a_volume(an_oblique_grid, a_ball) -> Volume:
    return Volume(spheres(an_oblique_grid, [a_ball]), an_oblique_grid, "ball")
