"""Targets of a few voxels, and lesions in a thin limb."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from inference_core.training.tiny import lesion_in_limb, tiny_lesion_into


def test_tiny_lesions_begin_with_a_single_voxel():
    tissue = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(24, 24, 24)), 2).astype(np.float32)
    samples = [tiny_lesion_into(np.random.default_rng(seed), tissue) for seed in range(60)]
    sizes = [int(sample.target.sum()) for sample in samples]
    assert min(sizes) == 1
    assert max(sizes) <= 90
    assert sum(size <= 7 for size in sizes) >= 15
    assert all(sample.whole == sample.target.sum() for sample in samples)


def test_tiny_lesions_differ_from_the_tissue_around_and_leave_the_rest_as_it_was():
    tissue = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(24, 24, 24)), 2).astype(np.float32)
    for seed in range(20):
        sample = tiny_lesion_into(np.random.default_rng(seed), tissue)
        near = ndi.binary_dilation(sample.target, iterations=3) & ~sample.target
        center = np.argwhere(sample.target).mean(axis=0).round().astype(int)
        assert abs(sample.image[tuple(center)] - tissue[near].mean()) > tissue[near].std()
        far = ~ndi.binary_dilation(sample.target, iterations=5)
        np.testing.assert_allclose(sample.image[far], tissue[far], atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_a_lesion_lies_inside_a_limb_that_is_surrounded_by_air(seed):
    sample = lesion_in_limb(np.random.default_rng(seed), 32)
    assert sample.image.shape == sample.target.shape == (32, 32, 32)
    assert np.isfinite(sample.image).all()
    assert 4 <= sample.target.sum() < 0.2 * sample.target.size
    air = np.percentile(sample.image, 5)
    inside = sample.image[sample.target].mean()
    rim = sample.image[ndi.binary_dilation(sample.target, iterations=2) & ~sample.target]
    # The lesion is nearer to the tissue about it than to the air.
    assert abs(inside - np.median(rim)) < abs(inside - air)
