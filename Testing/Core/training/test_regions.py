"""Regions of images as targets: they end at edges, have a usable size, and vary."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from inference_core.training.regions import gradient_basins, random_region, region_sample, with_likest_neighbor


@pytest.fixture
def blocks() -> np.ndarray:
    """Eight blocks of their own gray, faintly noisy."""
    levels = np.array([0, 5, 10, 15, 20, 25, 30, 35], dtype=np.float32).reshape(2, 2, 2)
    image = levels.repeat(12, axis=0).repeat(12, axis=1).repeat(12, axis=2)
    return image + np.random.default_rng(0).normal(0, 0.05, image.shape).astype(np.float32)


def block_numbers() -> np.ndarray:
    return np.arange(8).reshape(2, 2, 2).repeat(12, axis=0).repeat(12, axis=1).repeat(12, axis=2)


def test_basins_cover_every_voxel_and_end_at_edges(blocks):
    basins = gradient_basins(ndi.gaussian_filter(blocks, 0.7), level=0.1)
    assert basins.shape == blocks.shape
    assert basins.min() == 0
    numbers = block_numbers()
    for basin in np.unique(basins):
        of_block = np.bincount(numbers[basins == basin])
        assert of_block.max() > 0.8 * of_block.sum()


def test_a_deeper_flood_joins_more():
    noise = ndi.gaussian_filter(np.random.default_rng(1).normal(size=(24, 24, 24)), 1.5).astype(np.float32)
    counts = [gradient_basins(noise, level=level).max() for level in (0.02, 0.2, 0.6)]
    assert counts[0] > counts[1] > counts[2]


def test_regions_have_a_usable_size_and_differ():
    tissue = ndi.gaussian_filter(np.random.default_rng(1).normal(size=(32, 32, 32)), 3).astype(np.float32)
    regions = [random_region(np.random.default_rng(seed), tissue) for seed in range(12)]
    sizes = [region.sum() for region in regions if region is not None]
    assert len(sizes) >= 8
    assert min(sizes) >= 12
    assert max(sizes) <= 0.6 * tissue.size
    assert len(set(sizes)) > 4


def test_an_image_without_an_edge_has_no_region():
    assert random_region(np.random.default_rng(0), np.zeros((16, 16, 16), dtype=np.float32)) is None


def test_another_window_is_asked_for_until_one_has_a_region(blocks):
    windows = [np.zeros((24, 24, 24), dtype=np.float32)] * 2 + [blocks] * 20
    sample = region_sample(np.random.default_rng(0), lambda: windows.pop(0))
    assert sample.image is blocks
    assert sample.target.any()
    assert sample.whole == sample.target.sum()


def test_the_neighbor_that_looks_most_alike_is_joined():
    basins = np.zeros((3, 3, 9), dtype=np.int64)
    basins[..., 3:6], basins[..., 6:] = 1, 2
    image = np.choose(basins, [10.0, 4.0, 3.0]).astype(np.float32)
    assert (with_likest_neighbor(basins == 1, basins, image) == (basins >= 1)).all()
    everything = np.ones_like(basins, dtype=bool)
    assert with_likest_neighbor(everything, basins, image) is everything
