"""The row of training windows: seeded by number, mixed as asked for, and flipped image and target alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from support.labeled_sets import write_balls
from torch.utils.data import DataLoader

from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.pools import Pool
from inference_core.training.windows import Tissue, TrainingWindows, store_of

NO_SHARES = LiteMixture(regions=0, inserted=0, tiny=0, limb=0, synthetic=0)
NOTHING = Tissue(())


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Tissue:
    data = read_data_set(write_balls(tmp_path_factory.mktemp("real") / "set", cases=("a", "b")))
    return Tissue([Pool(1.0, data.cases)])


def windows(tissue: Tissue = NOTHING, *, size: int = 16, seed: int = 0, **shares: float) -> TrainingWindows:
    return TrainingWindows(replace(NO_SHARES, **shares), tissue, size=size, seed=seed)


def test_windows_are_tensors_of_image_and_target():
    row = windows(limb=0.5)
    for sample in (row[number] for number in range(6)):
        image, target = sample["image"], sample["target"]
        assert image.shape == target.shape == (16, 16, 16)
        assert (image.dtype, target.dtype) == (torch.float32, torch.bool)
        assert torch.isfinite(image).all()
        assert sample["whole"] >= target.sum() > 0


def test_a_window_depends_on_the_seed_and_its_number_alone():
    row, again, other = windows(seed=3), windows(seed=3), windows(seed=4)
    _ = again[0], again[1]
    for name in ("image", "target"):
        assert torch.equal(again[7][name], row[7][name])
    assert again[7]["whole"] == row[7]["whole"]
    assert not torch.equal(row[8]["image"], row[7]["image"])
    assert not torch.equal(other[7]["image"], row[7]["image"])


def test_workers_draw_what_one_process_draws():
    row = windows()
    alone = [row[n]["image"] for n in range(4)]
    batches = islice(DataLoader(row, batch_size=2, sampler=range(100), num_workers=2), 2)
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), torch.stack(alone))


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
    row = windows(real)
    for sample in (row[number] for number in range(12)):
        image, target = sample["image"], sample["target"]
        rim = torch.from_numpy(ndi.binary_dilation(target.numpy(), iterations=3)) & ~target
        if rim.sum() > 20:
            inside, outside = image[target].median(), image[rim].median()
            assert abs(inside - outside) > 0.5 * max(image[target].std(), image[rim].std())


def test_each_kind_is_drawn_as_often_as_asked(real):
    """Kinds are told by their targets: balls in the labeled windows, 60 voxels at most in the tiny ones."""
    half, all_tiny = windows(real, tiny=0.5), windows(real, tiny=1.0)
    few = [half[n]["target"].sum() <= 75 for n in range(60)]
    assert 0.3 < np.mean(few) < 0.75
    assert max(all_tiny[n]["target"].sum() for n in range(10)) <= 75


def test_without_labeled_volumes_nothing_is_asked_of_them():
    row = windows(regions=0.4, inserted=0.3, tiny=0.3)
    assert all(row[n]["target"].any() for n in range(10))


def test_regions_come_from_real_images(real):
    row = windows(real, regions=1.0, size=24)
    for sample in (row[number] for number in range(4)):
        assert 12 <= sample["target"].sum() <= 0.6 * sample["target"].numel()
        assert sample["whole"] == sample["target"].sum()
        assert torch.isfinite(sample["image"]).all()


def test_the_usual_mixture_adds_up():
    usual = LiteMixture()
    made = usual.regions + usual.inserted + usual.tiny + usual.limb + usual.synthetic
    assert 0 < made < 1
    assert sum(usual.stage_shares) == pytest.approx(1.0)
    assert all(size % 8 == 0 for size in usual.sizes)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Pool:
    """More cases than are kept in memory, two of which differ."""
    cases = read_data_set(write_balls(tmp_path_factory.mktemp("many") / "set", cases=("a", "b"), classes=2)).cases
    return Pool(1.0, tuple(replace(cases[n % 2], name=f"case_{n}") for n in range(50)))


def test_of_many_cases_what_was_made_is_kept_on_disk_and_gives_the_same_windows(many, tmp_path):
    store = store_of(TrainConfig(tmp_path / "run"))
    plain, kept = windows(Tissue([many])), windows(Tissue([many], store=store))
    again = windows(Tissue([many], store=store))
    for number in range(4):
        wanted = plain[number]
        for row in (kept, again):
            assert torch.equal(row[number]["image"], wanted["image"])
            assert torch.equal(row[number]["target"], wanted["target"])
            assert row[number]["whole"] == wanted["whole"]
    assert len(list((tmp_path / "run" / "cache").glob("*.npy"))) == 2 * 8, "an entry an array, of two different cases"


def test_few_cases_are_kept_in_memory_alone(tmp_path):
    data = read_data_set(write_balls(tmp_path / "set", cases=("a", "b")))
    store = store_of(TrainConfig(tmp_path / "run"))
    assert windows(Tissue([Pool(1.0, data.cases)], store=store))[0]["target"].any()
    assert not Path(tmp_path / "run").exists()
