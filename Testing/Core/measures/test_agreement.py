"""Dice and the voxels of both and of each alone, against numpy's own count, and in words."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import oblique_grid

from inference_core.geometry.mask import EMPTY, Mask
from inference_core.measures.agreement import agreement

GRID = oblique_grid(29, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_and_dice_are_those_of_the_voxels(seed):
    rng = np.random.default_rng(seed)
    a, b = np.zeros((2, *GRID.shape), bool)
    start, other = rng.integers(0, 20, (2, 3))
    a[tuple(slice(n, n + 25) for n in start)] = rng.random((25, 25, 25))[:, :, : a.shape[2] - start[2]] < 0.6
    b[tuple(slice(n, n + 20) for n in other)] = rng.random((20, 20, 20))[:, :, : b.shape[2] - other[2]] < 0.4
    found = agreement(Mask.of(a), Mask.of(b), GRID)
    for part, expected in ((found.both, a & b), (found.only_a, a & ~b), (found.only_b, b & ~a)):
        assert np.array_equal(part.on(GRID.shape) > 0, expected)
    assert found.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert found.ml_only_b == pytest.approx((b & ~a).sum() * GRID.voxel_volume_mm3 / 1000)
    assert found.as_json()["only_a"] == {"value": found.ml_only_a, "unit": "ml"}


@pytest.mark.parametrize(
    ("depth", "words"), [(10, "the same"), (9, "much alike"), (6, "alike but for"), (3, "different")]
)
def test_dice_is_said_in_words(depth, words):
    whole, part = np.zeros((2, *GRID.shape), bool)
    whole[2:12, 2:12, 2:12] = True
    part[2:12, 2:12, 2 : 2 + depth] = True
    sentence = agreement(Mask.of(whole), Mask.of(part), GRID).sentence()
    assert f", {words}" in sentence
    assert f"{(10 - depth) * 0.1 * GRID.voxel_volume_mm3:.2f} ml only in A, 0.00 ml only in B" in sentence


def test_two_empty_masks_agree_and_an_empty_one_with_none():
    some = Mask.of(np.ones((2, 2, 2), bool))
    assert agreement(EMPTY, EMPTY, GRID).dice == 1.0
    assert agreement(some, EMPTY, GRID).dice == 0.0
