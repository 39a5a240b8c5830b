"""Masks: where they lie, their algebra against whole arrays, and packing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_core.geometry.mask import EMPTY, Mask, VoxelBox


def a_mask(start, shape, seed: int) -> Mask:
    return Mask(start, np.random.default_rng(seed).random(shape) < 0.3)


def test_a_mask_is_laid_where_it_starts():
    small = a_mask((2, 0, 5), (3, 4, 2), 1)
    laid = small.on((9, 8, 7))
    assert laid.dtype == np.uint8
    assert laid.flags.f_contiguous
    np.testing.assert_array_equal(laid[2:5, 0:4, 5:7], small.array)
    assert laid.sum() == small.array.sum() > 0
    assert small.stop == (5, 4, 7)


def test_a_mask_knows_each_of_the_volumes_voxels():
    small = a_mask((2, 1, 3), (3, 4, 2), 1)
    laid = small.on((6, 6, 6))
    for voxel in np.ndindex(6, 6, 6):
        assert small.at(voxel) is bool(laid[voxel])


shapes = st.tuples(*[st.integers(1, 4)] * 3)
starts = st.tuples(*[st.integers(0, 5)] * 3)
masks = st.one_of(st.just(EMPTY), st.builds(a_mask, starts, shapes, st.integers(0, 40)))


@settings(max_examples=80, deadline=None)
@given(before=masks, after=masks)
def test_the_changed_extent_is_the_bounding_box_of_the_differences(before, after):
    changed = np.argwhere(before.on((9, 9, 9)) != after.on((9, 9, 9)))
    expected = (tuple(changed.min(axis=0)), tuple(changed.max(axis=0) + 1)) if len(changed) else None
    assert before.changed_extent(after) == expected
    assert after.changed_extent(before) == expected


@settings(max_examples=80, deadline=None)
@given(first=masks, second=masks)
def test_union_and_difference_are_those_of_the_whole_arrays(first, second):
    ours, theirs = first.on((9, 9, 9)) > 0, second.on((9, 9, 9)) > 0
    np.testing.assert_array_equal(first.union(second).on((9, 9, 9)) > 0, ours | theirs)
    np.testing.assert_array_equal(first.minus(second).on((9, 9, 9)) > 0, ours & ~theirs)


@settings(max_examples=80, deadline=None)
@given(mask=masks, start=starts, shape=shapes)
def test_a_crop_is_that_of_the_whole_array_and_false_beyond_the_mask(mask, start, shape):
    stop = np.add(start, shape)
    np.testing.assert_array_equal(mask.crop(start, stop), mask.on((9, 9, 9))[VoxelBox(np.array(start), stop).slices()])
    assert not mask.crop((-4, -4, -4), (0, 0, 0)).any()


def test_the_smallest_mask_of_no_voxel_is_empty():
    assert Mask.of(np.zeros((3, 4, 5), dtype=bool), (7, 7, 7)) is EMPTY
    assert EMPTY.union(EMPTY) is EMPTY
    assert EMPTY.changed_extent(EMPTY) is None


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(0, 9)] * 3), seed=st.integers(0, 30), order=st.sampled_from("CF"))
def test_a_packed_mask_is_unpacked_as_it_was(shape, seed, order):
    array = np.asarray(np.random.default_rng(seed).random(shape) < 0.4, order=order)
    mask = Mask((3, -1, 8), array).pack().unpack()
    assert mask.start == (3, -1, 8)
    assert mask.array.dtype == np.bool_
    np.testing.assert_array_equal(mask.array, array)


def test_a_ball_takes_a_hundredth_of_its_box_when_packed():
    distance = np.linalg.norm(np.indices((96, 96, 96)).T - 47.5, axis=-1).T
    mask = Mask((0, 0, 0), np.asfortranarray(distance < 47))
    assert len(mask.pack().bits) < mask.array.nbytes / 50
    assert len(EMPTY.pack().bits) < 20
