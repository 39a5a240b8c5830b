"""Procedural windows: never empty, always finite, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.training.synthetic import lesion_into, random_regions, smooth_noise, synthetic_sample

SEEDS = range(12)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [16, 24])
def test_a_sample_has_a_target_in_a_finite_image(size):
    for seed in SEEDS:
        sample = synthetic_sample(rng_of(seed), size)
        assert sample.image.shape == sample.target.shape == (size,) * 3
        assert sample.image.dtype == np.float32
        assert sample.target.dtype == np.bool_
        assert np.isfinite(sample.image).all()
        assert sample.image.std() > 0
        assert 24 <= sample.target.sum() == sample.whole <= 0.6 * sample.target.size


def test_the_same_seed_gives_the_same_sample_and_another_another():
    first, again, other = (synthetic_sample(rng_of(seed), 16) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.target, again.target)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.target, other.target)


def test_targets_come_in_many_sizes_and_places():
    samples = [synthetic_sample(rng_of(seed), 16) for seed in range(30)]
    shares = [sample.target.mean() for sample in samples]
    centers = np.array([np.argwhere(sample.target).mean(axis=0) for sample in samples])
    assert max(shares) > 10 * min(shares)
    assert (centers.std(axis=0) > 1).all()


def test_most_targets_differ_in_brightness_from_what_is_around_them():
    """Contrast over noise: a network could not learn from windows where nothing can be seen."""
    seen = []
    for seed in range(20):
        sample = synthetic_sample(rng_of(seed), 16)
        inside, outside = sample.image[sample.target], sample.image[~sample.target]
        seen.append(abs(inside.mean() - outside.mean()) / sample.image.std())
    assert np.median(seen) > 0.3


def test_regions_name_their_lesions_and_each_can_be_found():
    for seed in SEEDS:
        regions, lesions = random_regions(rng_of(seed), 16)
        assert regions.min() >= 0
        assert all((regions == lesion).sum() >= 24 for lesion in lesions)
    assert any(random_regions(rng_of(seed), 16)[1] for seed in SEEDS)


@pytest.mark.parametrize("knots", [3, 6, 11])
def test_noise_has_unit_variance_and_is_linear_between_its_knots(knots):
    step = 4
    field = smooth_noise(rng_of(1), step * (knots - 1) + 1, knots)
    assert field.std() == pytest.approx(1.0, abs=1e-3)
    for axis in range(3):
        bends = np.abs(np.diff(field, 2, axis=axis)).max(axis=tuple(a for a in range(3) if a != axis))
        at_knots = (np.arange(len(bends)) + 1) % step == 0
        assert bends[~at_knots].max() < 1e-4
        assert bends[at_knots].min() > 1e-2


@pytest.mark.parametrize(("size", "knots"), [(16, 100), (16, 1), (8, 2)])
def test_noise_takes_any_number_of_knots(size, knots):
    field = smooth_noise(rng_of(0), size, knots)
    assert field.shape == (size,) * 3
    assert np.isfinite(field).all()


@pytest.fixture
def a_background() -> np.ndarray:
    return (100 + 20 * smooth_noise(rng_of(9), 24, 6)).astype(np.float32)


def test_a_lesion_changes_the_tissue_where_it_lies_and_little_elsewhere(a_background):
    for seed in SEEDS:
        sample = lesion_into(rng_of(seed), a_background)
        change = np.abs(sample.image - a_background)
        assert 24 <= sample.target.sum() == sample.whole <= 0.3 * sample.target.size
        assert change[sample.target].mean() > 1
        assert change[~sample.target].mean() < 0.2 * change[sample.target].mean()
        assert np.isfinite(sample.image).all()
        assert sample.image.dtype == np.float32


def test_the_background_of_a_lesion_is_not_changed_in_place(a_background):
    before = a_background.copy()
    lesion_into(rng_of(0), a_background)
    np.testing.assert_array_equal(a_background, before)


def test_a_lesion_can_be_laid_into_a_uniform_background():
    sample = lesion_into(rng_of(0), np.full((16, 16, 16), 7.0, dtype=np.float32))
    assert np.isfinite(sample.image).all()
