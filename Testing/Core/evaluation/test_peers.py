"""The classical peers: they find what they should, obey corrections, and keep to millimeters and to the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inference_core.errors import PromptError
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.peers import REACH_MM, confidence_connected, grow_from_seeds

SPACING = (1.0, 1.5, 3.0)
METHODS = [confidence_connected, grow_from_seeds]


def ball(shape: tuple[int, int, int], center: tuple[int, int, int], radius_mm: float) -> np.ndarray:
    """The voxels within a radius of a voxel, on a grid of `SPACING`."""
    offsets = (np.moveaxis(np.indices(shape), 0, -1) - center) * SPACING
    return np.linalg.norm(offsets, axis=-1) < radius_mm


@pytest.fixture
def a_target() -> np.ndarray:
    return ball((60, 44, 24), (30, 20, 12), 13.0)


@pytest.fixture
def a_noisy_image(a_target: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 6, size=a_target.shape)
    return (100 + 60 * a_target + noise).astype(np.int16)


@pytest.mark.parametrize("method", METHODS)
def test_one_click_finds_a_bright_ball(
    method: Callable[..., Any], a_noisy_image: np.ndarray, a_target: np.ndarray
) -> None:
    mask = method(a_noisy_image, SPACING, [((30, 20, 12), True)])

    assert mask.shape == a_target.shape
    assert mask.dtype == np.bool_
    assert dice(mask, a_target) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_negative_click_gives_back_the_neighbor_of_equal_brightness(method: Callable[..., Any]) -> None:
    target, neighbor = ball((70, 44, 24), (24, 20, 12), 11.0), ball((70, 44, 24), (45, 20, 12), 11.0)
    noise = np.random.default_rng(4).normal(0, 4, size=target.shape)
    image = 100 + 60 * (target | neighbor) + noise

    leaked = method(image, SPACING, [((24, 20, 12), True)])
    corrected = method(image, SPACING, [((24, 20, 12), True), ((45, 20, 12), False)])

    assert leaked[45, 20, 12]
    assert not corrected[45, 20, 12]
    assert dice(corrected, target & ~neighbor) > 0.85
    assert dice(corrected, target) > dice(leaked, target) + 0.15


@pytest.mark.parametrize("method", METHODS)
def test_a_second_positive_click_adds_a_separate_piece(method: Callable[..., Any]) -> None:
    first, second = ball((80, 44, 24), (20, 20, 12), 10.0), ball((80, 44, 24), (58, 20, 12), 10.0)
    image = 100 + 60 * (first | second) + np.random.default_rng(5).normal(0, 4, size=first.shape)

    alone = method(image, SPACING, [((20, 20, 12), True)])
    both = method(image, SPACING, [((20, 20, 12), True), ((58, 20, 12), True)])

    assert dice(alone, first) > 0.75
    assert dice(both, first | second) > 0.75
    assert not alone[58, 20, 12]
    assert both[58, 20, 12]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_found_beyond_the_region_of_interest(method: Callable[..., Any]) -> None:
    image = np.random.default_rng(6).normal(50, 3, size=(160, 20, 12))

    mask = method(image, SPACING, [((20, 10, 6), True)])

    assert not mask[20 + int(REACH_MM) + 1 :].any()


@pytest.mark.parametrize("method", METHODS)
def test_a_click_in_the_corner_of_the_image_is_no_trouble(
    method: Callable[..., Any], a_noisy_image: np.ndarray
) -> None:
    mask = method(a_noisy_image, SPACING, [((0, 0, 0), True), ((59, 43, 23), False)])

    assert mask.shape == a_noisy_image.shape


@pytest.mark.parametrize("method", METHODS)
def test_background_clicks_alone_are_refused(method: Callable[..., Any], a_noisy_image: np.ndarray) -> None:
    with pytest.raises(PromptError, match="foreground click"):
        method(a_noisy_image, SPACING, [((5, 5, 5), False)])


def test_growcut_gives_each_voxel_to_the_seed_of_the_cheapest_path() -> None:
    # A corridor of one intensity winds away from the click; a step of intensity separates all else from it.
    image = np.zeros((24, 24, 9), dtype=np.float32)
    image[4:20, 4:6, 4] = 100
    image[18:20, 4:20, 4] = 100

    mask = grow_from_seeds(image, (3.0, 3.0, 3.0), [((5, 5, 4), True), ((4, 14, 4), False)])

    assert mask[19, 19, 4]
    assert not mask[10, 14, 4]
