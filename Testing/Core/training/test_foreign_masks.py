"""Corrupted masks: near the truth, wrong somewhere, and never nothing."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.training.foreign_masks import _FAULTS, foreign_mask


@pytest.fixture
def a_target() -> np.ndarray:
    grid = np.indices((32, 32, 32)) - 15
    return np.sqrt((grid**2).sum(axis=0)) <= 8


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_foreign_mask_is_wrong_somewhere_and_still_about_the_target(a_target):
    found = [dice(foreign_mask(np.random.default_rng(seed), a_target), a_target) for seed in range(60)]
    assert min(found) > 0.1
    assert np.mean([value < 1 for value in found]) > 0.95
    assert np.ptp(found) > 0.4
    assert np.median(found) > 0.6


def test_all_kinds_of_fault_occur():
    """Each changes a ball, and the target given is left as it was."""
    target = np.zeros((24, 24, 24), dtype=bool)
    target[6:18, 6:18, 6:18] = True
    before = target.copy()
    for fault in _FAULTS:
        changed = [(fault(np.random.default_rng(seed), target) != target).any() for seed in range(6)]
        assert np.mean(changed) > 0.6, fault.__name__
    assert (target == before).all()


@pytest.mark.parametrize("voxels", [1, 2, 8])
def test_a_small_target_is_never_lost_altogether(voxels):
    target = np.zeros((16, 16, 16), dtype=bool)
    target.reshape(-1)[2000 : 2000 + voxels] = True
    for seed in range(30):
        mask = foreign_mask(np.random.default_rng(seed), target)
        assert mask.any()
        assert not mask.all()


def test_the_same_seed_makes_the_same_faults(a_target):
    first, again, other = (foreign_mask(np.random.default_rng(seed), a_target) for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()
