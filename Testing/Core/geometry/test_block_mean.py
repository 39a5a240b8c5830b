"""Means of bins, against reshaping a padded copy; and that no copy is made."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_core.geometry.block_mean import block_mean


def by_copying(array, low, high, *, bins, reflect) -> np.ndarray:
    margin = 60
    padded = np.pad(array.astype(np.float64), margin, mode="symmetric" if reflect else "constant")
    block = padded[tuple(slice(a + margin, b + margin) for a, b in zip(low, high, strict=True))]
    split = [n for size, n in zip(bins, block.shape, strict=True) for n in (n // size, size)]
    return block.reshape(split).mean(axis=(1, 3, 5))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    low=st.tuples(*[st.integers(-15, 12)] * 3),
    counts=st.tuples(*[st.integers(1, 5)] * 3),
    bins=st.tuples(*[st.integers(1, 4)] * 3),
    order=st.permutations(range(3)),
    reflect=st.booleans(),
)
def test_bins_are_means_in_any_memory_order_and_beyond_any_edge(*, shape, low, counts, bins, order, reflect):
    values = np.random.default_rng(0).integers(-1000, 3000, shape).astype(np.int16)
    array = np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
    high = tuple(a + n * size for a, n, size in zip(low, counts, bins, strict=True))
    found = block_mean(array, low, high, bins=bins, reflect=reflect)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_copying(values, low, high, bins=bins, reflect=reflect), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("reflect", [True, False])
def test_a_wide_block_is_averaged_without_a_copy_of_it(reflect):
    """A block of 8 million voxels, some beyond the edge, that as float32 would take 32 MB."""
    array = np.zeros((200, 200, 190), dtype=np.int16).transpose(2, 0, 1)
    tracemalloc.start()
    block_mean(array, (-4, 0, 0), (196, 200, 200), bins=(5, 5, 5), reflect=reflect)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_voxels_beyond_the_edge_that_are_not_finite_do_not_count_as_zero_times_themselves():
    array = np.ones((6, 6, 6), dtype=np.float32)
    array[1] = np.nan
    zeros = block_mean(array, (-2, 2, 2), (0, 4, 4), bins=(2, 2, 2), reflect=False)
    np.testing.assert_array_equal(zeros, 0.0)
