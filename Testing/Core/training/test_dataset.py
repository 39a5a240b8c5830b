"""The row of training windows: seeded by number, mixed as asked for, and flipped image and target alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from torch.utils.data import DataLoader

from inference_core.training.config import TrainingConfig
from inference_core.training.dataset import TrainingWindows
from inference_core.training.labeled import sarcoma_set
from inference_core.training.sources import Pool, TrainingSources

NO_SHARES = TrainingConfig(output=Path("unused"), steps=1, regions=0, inserted=0, tiny=0, limb=0)


@pytest.fixture
def real(tmp_path, a_patient) -> TrainingSources:
    a_patient(tmp_path / "STS_001", images=("CT",))
    return TrainingSources((Pool(1.0, tuple(sarcoma_set(tmp_path))),))


def windows(sources=None, *, size: int = 16, **given) -> TrainingWindows:
    return TrainingWindows(replace(NO_SHARES, **given), sources or TrainingSources(), size=size)


def test_windows_are_tensors_of_image_and_target():
    for image, target, whole in islice(windows(limb=0.5), 6):
        assert image.shape == target.shape == (16, 16, 16)
        assert (image.dtype, target.dtype) == (torch.float32, torch.bool)
        assert torch.isfinite(image).all()
        assert whole >= target.sum() > 0


def test_a_window_depends_on_the_seed_and_its_number_alone():
    row, again, other = windows(seed=3), windows(seed=3), windows(seed=4)
    image, target, whole = row[7]
    _ = again[0], again[1]
    assert torch.equal(again[7][0], image)
    assert torch.equal(again[7][1], target)
    assert again[7][2] == whole
    assert not torch.equal(row[8][0], image)
    assert not torch.equal(other[7][0], image)


def test_workers_draw_what_one_process_draws():
    row = windows()
    alone = [row[n][0] for n in range(4)]
    batches = islice(DataLoader(row, batch_size=2, sampler=range(100), num_workers=2), 2)
    assert torch.equal(torch.cat([image for image, _, _ in batches]), torch.stack(alone))


def test_drawing_in_this_process_leaves_its_threads_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _ = windows()[0]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_image_and_target_are_flipped_together(real):
    """On the labeled ball the target is brighter or, inverted, darker than all around it, whatever the flip."""
    for number in range(12):
        image, target, _ = windows(real)[number]
        rim = torch.from_numpy(ndi.binary_dilation(target.numpy(), iterations=3)) & ~target
        if rim.sum() > 20:
            inside, outside = image[target].median(), image[rim].median()
            assert abs(inside - outside) > 0.5 * max(image[target].std(), image[rim].std())


def test_each_kind_is_drawn_as_often_as_asked(real):
    """Kinds are told by their targets: balls in the labeled windows, 60 voxels at most in the tiny ones."""
    pools = (replace(real.pools[0], share=0.0),)
    few = [windows(TrainingSources(pools), tiny=0.5)[n][1].sum() <= 75 for n in range(60)]
    assert 0.3 < np.mean(few) < 0.75
    all_few = [windows(TrainingSources(pools), tiny=1.0)[n][1].sum() for n in range(10)]
    assert max(all_few) <= 75


def test_without_labeled_volumes_nothing_is_asked_of_them():
    row = windows(regions=0.4, inserted=0.3, tiny=0.3)
    assert all(row[n][1].any() for n in range(10))


def test_regions_come_from_real_images(real):
    pools = (replace(real.pools[0], share=0.0),)
    for number in range(4):
        image, target, whole = windows(TrainingSources(pools), regions=1.0, size=24)[number]
        assert 12 <= target.sum() <= 0.6 * target.numel()
        assert whole == target.sum()
        assert torch.isfinite(image).all()
