"""Paths from the clicks through the image, against Dijkstra's algorithm on the graph of neighboring cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from inference_core.models.sam3d_lite.geodesic import GEODESIC_CHANNELS, geodesic_maps

SHAPE = (6, 8, 7)
FOREGROUND, BACKGROUND = (1, 2, 5), (4, 6, 1)


def seeds_at(*cells_of_sign) -> torch.Tensor:
    seeds = torch.zeros(1, 2, *SHAPE, dtype=torch.bool)
    for sign, cell in enumerate(cells_of_sign):
        if cell is not None:
            seeds[(0, sign, *cell)] = True
    return seeds


def an_image(*, smooth: float) -> np.ndarray:
    image = np.random.default_rng(3).standard_normal(SHAPE)
    image = ndi.gaussian_filter(image, smooth) if smooth else image
    return (image / image.std()).astype(np.float32)


def shortest_by_dijkstra(image: np.ndarray, deviation: np.ndarray, seed) -> tuple[np.ndarray, np.ndarray]:
    """Path lengths across edges, and through voxels unlike the click: 0.05 a step and half of the contrast."""
    numbers = np.arange(image.size).reshape(SHAPE)
    lengths = []
    for kind in ("edges", "through"):
        rows, columns, costs = [], [], []
        for axis in range(3):
            here, there = (np.take(numbers, range(a, a + SHAPE[axis] - 1), axis=axis).ravel() for a in (0, 1))
            if kind == "edges":
                cost = 0.05 + 0.5 * np.abs(image.ravel()[here] - image.ravel()[there])
            else:
                entering = 0.05 + 0.5 * np.abs(deviation.ravel())
                cost = (entering[here] + entering[there]) / 2
            rows.append(here), columns.append(there), costs.append(cost)
        graph = coo_matrix((np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), [image.size] * 2)
        lengths.append(dijkstra(graph.tocsr(), directed=False, indices=numbers[seed]).reshape(SHAPE))
    return lengths[0], lengths[1]


def reach(image: np.ndarray, deviation: np.ndarray, seeds: torch.Tensor) -> np.ndarray:
    maps = geodesic_maps(torch.from_numpy(image)[None, None], torch.from_numpy(deviation)[None], seeds)
    assert maps.shape == (1, GEODESIC_CHANNELS, *SHAPE)
    return maps[0].numpy()


def deviations(image: np.ndarray) -> np.ndarray:
    return np.stack([image - image[FOREGROUND], image - image[BACKGROUND]])


def test_in_a_smooth_image_the_paths_are_the_shortest():
    image = an_image(smooth=2.0)
    maps = reach(image, deviations(image), seeds_at(FOREGROUND, BACKGROUND))
    for sign, seed in enumerate((FOREGROUND, BACKGROUND)):
        across, through = shortest_by_dijkstra(image, deviations(image)[sign], seed)
        np.testing.assert_allclose(maps[sign], np.exp(-across / 2), rtol=0.15)
        np.testing.assert_allclose(maps[2 + sign], np.exp(-through / 2), rtol=0.15)


def test_in_noise_no_path_is_shorter_than_the_shortest_and_most_are_as_short():
    image = an_image(smooth=0.0)
    maps = reach(image, deviations(image), seeds_at(FOREGROUND, BACKGROUND))
    for sign, seed in enumerate((FOREGROUND, BACKGROUND)):
        shortest = shortest_by_dijkstra(image, deviations(image)[sign], seed)
        for found, length in zip((maps[sign], maps[2 + sign]), shortest, strict=True):
            excess = -2 * np.log(found) - length
            assert excess.min() > -1e-4
            assert np.median(excess) < 0.05


def test_a_wall_keeps_the_click_from_what_lies_behind_it():
    image = np.zeros(SHAPE, dtype=np.float32)
    image[:, 4] = 8.0
    for map_ in reach(image, deviations(image), seeds_at((3, 1, 3), None))[[0, 2]]:
        assert map_[3, 7, 3] < 0.2 * map_[3, 0, 0]


def test_a_way_around_the_wall_is_found():
    image = np.zeros(SHAPE, dtype=np.float32)
    image[:, 4, :-1] = 8.0
    across = reach(image, deviations(image), seeds_at((3, 1, 3), None))[0]
    assert across[3, 7, 3] == pytest.approx(np.exp(-0.05 * (6 + 3 + 3) / 2), rel=1e-4)


def test_each_cell_knows_which_sign_reaches_it_first():
    image = np.zeros(SHAPE, dtype=np.float32)
    maps = reach(image, np.zeros((2, *SHAPE), dtype=np.float32), seeds_at(FOREGROUND, BACKGROUND))
    steps = [
        np.abs(np.indices(SHAPE) - np.reshape(cell, (3, 1, 1, 1))).sum(axis=0) for cell in (FOREGROUND, BACKGROUND)
    ]
    for first in maps[4:]:
        assert np.array_equal(np.sign(np.round(first, 5)), np.sign(steps[1] - steps[0]))
        assert first[FOREGROUND] > 0.8
        assert first[BACKGROUND] < -0.8


@pytest.mark.parametrize(("cells", "empty"), [((FOREGROUND, None), 1), ((None, BACKGROUND), 0)])
def test_without_a_click_of_a_sign_nothing_is_reached_by_it_nor_first(cells, empty):
    image = an_image(smooth=1.0)
    maps = reach(image, deviations(image), seeds_at(*cells))
    assert maps[[empty, 2 + empty]].max() < 1e-6
    assert not maps[4:].any()
    assert maps[[1 - empty, 3 - empty]].max() == 1.0


def test_turning_the_image_turns_the_maps():
    image = an_image(smooth=2.0)
    maps = reach(image, deviations(image), seeds_at(FOREGROUND, BACKGROUND))
    for axes in itertools.combinations((0, 1, 2), 2):
        local, deviation = np.flip(image, axes).copy(), np.flip(deviations(image), [a + 1 for a in axes]).copy()
        seeds = seeds_at(FOREGROUND, BACKGROUND).flip([a + 2 for a in axes])
        turned = reach(local, deviation, seeds)
        np.testing.assert_allclose(np.flip(turned, [a + 1 for a in axes]), maps, atol=1e-5)
