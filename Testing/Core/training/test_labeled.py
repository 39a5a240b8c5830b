"""Windows from labeled volumes: the target stays on the image, at any scale and in any orientation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from support.labeled_sets import write_balls

from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.geometry.volume import Volume
from inference_core.io.files import write_labels
from inference_core.training import labeled
from inference_core.training.data.cases import Case
from inference_core.training.data.layouts import read_data_set
from inference_core.training.labeled import (
    SPACING_RANGE_MM,
    LabeledVolume,
    augmented,
    background_window,
    labeled_sample,
    random_window,
    targets_of,
)

RADIUS_MM = 8.0
BACKGROUND, TUMOR = 100, 600


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def a_case(tmp_path, a_patient) -> LabeledVolume:
    a_patient(tmp_path / "STS_001", images=("CT",))
    image, label = (tmp_path / "STS_001" / f"CT_{kind}.nii.gz" for kind in ("image", "label"))
    return targets_of(Case("STS_001", "STS_001", (image,), label))[0]


def test_a_case_knows_its_targets_size_and_inside(a_case):
    assert a_case.diameter_mm == pytest.approx(2 * RADIUS_MM, rel=0.05)
    distances = np.linalg.norm(a_case.interior_ras - a_case.image.grid.center_ras, axis=1)
    assert len(distances) > 20
    assert distances.max() < 0.75 * RADIUS_MM


def test_every_value_is_a_target_but_for_slivers(tmp_path):
    data = read_data_set(write_balls(tmp_path / "set", cases=("a",), classes=2, radius_mm=6.0))
    labels = data.cases[0].read_labels()
    targets = targets_of(data.cases[0])
    assert [target.volume_mm3 for target in targets] == pytest.approx(
        [(labels.array == value).sum() * labels.grid.voxel_volume_mm3 for value in (1, 2)]
    )
    assert len(targets_of(data.cases[0], classes=(2,))) == 1
    sliver = Volume(np.zeros((9, 9, 9), dtype=np.uint8), Grid((9, 9, 9), np.eye(4)))
    sliver.array[4, 4, 2:7] = 1
    write_labels(tmp_path / "label.nii.gz", sliver.array, sliver.grid)
    write_labels(tmp_path / "image.nii.gz", sliver.array, sliver.grid)
    assert targets_of(Case("s", "s", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz")) == ()


@pytest.mark.parametrize(("first_slice", "seen"), [(0, 2 * 8**3), (4, 8**3)])
def test_a_target_that_the_edge_cuts_goes_on_in_the_mirror_and_another_is_not_doubled(first_slice, seen):
    """A block of 8^3 mm in a slab of 16 slices, in a window of 40 mm that shows the slab's mirror above and below."""
    mask = np.zeros((40, 40, 16), dtype=np.bool_)
    mask[16:24, 16:24, first_slice : first_slice + 8] = True
    slab = LabeledVolume.of(Volume(mask.astype(np.int16), Grid(mask.shape, np.eye(4))), mask)
    window = isotropic_grid(slab.image.grid.center_ras, shape=(40, 40, 40), spacing=1.0)
    assert abs(int(slab.target_in(window).sum()) - seen) <= 0.13 * seen


def test_the_target_lies_where_the_image_shows_it(a_case):
    for seed in range(15):
        sample = labeled_sample(rng_of(seed), [a_case], 16)
        bright = sample.image > (BACKGROUND + TUMOR) / 2
        assert sample.image.dtype == np.float32
        assert sample.target.dtype == np.bool_
        assert 12 <= sample.target.sum() < 0.95 * sample.target.size
        assert sample.whole >= sample.target.sum()
        # Beyond the crop the image is mirrored and the target is not.
        assert (bright & sample.target).sum() > 0.95 * sample.target.sum()


def test_windows_beyond_the_crop_are_mirrored_and_not_black(a_case):
    for seed in range(15):
        image = labeled_sample(rng_of(seed), [a_case], 16).image
        assert image.min() >= BACKGROUND - 1
        assert image.max() <= TUMOR + 1


def test_targets_lie_anywhere_and_at_any_scale(a_case):
    samples = [labeled_sample(rng_of(seed), [a_case], 16) for seed in range(30)]
    shares = [sample.target.mean() for sample in samples]
    assert max(shares) > 8 * min(shares)
    centers = np.array([np.argwhere(sample.target).mean(axis=0) for sample in samples])
    assert (centers.std(axis=0) > 1).all()


def test_targets_lie_off_the_middle_even_where_all_windows_are_drawn_around_one_point(a_case):
    """A user's window is centered on a click, and a click is seldom in the middle."""
    case = replace(a_case, interior_ras=a_case.image.grid.center_ras[None])
    masks = [labeled_sample(rng_of(seed), [case], 16).target for seed in range(20)]
    offsets = np.array([np.argwhere(mask).mean(axis=0) - 7.5 for mask in masks])
    assert (np.abs(offsets).mean(axis=0) > 1).all()


def test_the_same_seed_gives_the_same_window(a_case):
    first, again, other = (labeled_sample(rng_of(seed), [a_case], 16) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.target, again.target)
    assert not np.array_equal(first.image, other.image)


def test_spacings_stay_within_what_the_model_is_used_at(a_case, monkeypatch):
    spacings = []

    def noted(*given, **named):
        spacings.append(named["spacing"])
        return random_window(*given, **named)

    monkeypatch.setattr(labeled, "random_window", noted)
    for seed, size in product(range(6), (8, 32)):
        labeled_sample(rng_of(seed), [a_case], size)
    assert min(spacings) == SPACING_RANGE_MM[0]
    assert SPACING_RANGE_MM[0] < max(spacings) <= SPACING_RANGE_MM[1]


def test_the_whole_target_is_counted_where_the_window_shows_only_a_part(a_case, monkeypatch):
    """A ball of 8 mm radius in windows of at most 8 mm."""
    monkeypatch.setattr(labeled, "_ALL_WINDOWS", (0.4, 0.45))
    monkeypatch.setattr(labeled, "_USUAL_WINDOWS", (0.4, 0.45))
    monkeypatch.setattr(labeled, "_BOXED", 0.0)
    for seed in range(5):
        sample = labeled_sample(rng_of(seed), [a_case], 10)
        spacing = 0.75  # 0.4 to 0.45 of 16 mm in 10 voxels would be finer than the finest
        assert sample.whole == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / spacing**3, rel=0.1)
        assert sample.whole > 2 * sample.target.sum()


def test_background_windows_are_real_tissue(a_case):
    window = background_window(rng_of(0), [a_case], 16)
    assert window.shape == (16, 16, 16)
    assert BACKGROUND - 1 <= window.min() <= window.max() <= TUMOR + 1


def test_random_windows_are_cubic_right_angled_and_of_either_handedness():
    windows = [random_window(rng_of(seed), np.array([1.0, 2.0, 3.0]), size=9, spacing=1.3) for seed in range(40)]
    tilts, hands = [], set()
    for window in windows:
        axes = window.affine[:3, :3] / 1.3
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(window.to_ras([4, 4, 4]), [1.0, 2.0, 3.0], atol=1e-9)
        tilts.append(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0).min(), -1, 1))))
        hands.add(np.sign(np.linalg.det(axes)))
    assert hands == {-1.0, 1.0}
    assert len({window.axis_codes for window in windows}) > 15
    assert 10 < sum(tilt < 1e-3 for tilt in tilts) < 30
    assert 5 < max(tilts) < 35


def test_an_augmented_image_is_finite_bounded_and_of_the_same_seed_the_same():
    image = (1000 * rng_of(0).gamma(2.0, 1.0, (16, 16, 16))).astype(np.float32)
    image[3, 3, 3] = 1e6  # metal
    before = image.copy()
    for seed in range(20):
        changed = augmented(rng_of(seed), image)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() < 5
        np.testing.assert_array_equal(changed, augmented(rng_of(seed), image))
    np.testing.assert_array_equal(image, before)


def test_augmentation_keeps_structure_and_at_times_inverts_it():
    ramp = np.indices((16, 16, 16))[0].astype(np.float32)
    correlations = [np.corrcoef(augmented(rng_of(seed), ramp).ravel(), ramp.ravel())[0, 1] for seed in range(40)]
    assert np.abs(correlations).min() > 0.5
    assert 3 < sum(value < 0 for value in correlations) < 20


def test_a_uniform_image_can_be_augmented():
    for seed in range(10):
        assert np.isfinite(augmented(rng_of(seed), np.full((16, 16, 16), 5.0, dtype=np.float32))).all()
