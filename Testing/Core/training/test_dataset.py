"""The stream of training windows: seeded, mixed as asked for, and flipped image and target alike."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from inference_core.training import dataset
from inference_core.training.config import TrainingConfig
from inference_core.training.dataset import TrainingWindows
from inference_core.training.synthetic import Sample


def config_of(**given) -> TrainingConfig:
    return TrainingConfig(minutes=1, output=Path("unused.safetensors"), **given)


def first(count: int, windows: TrainingWindows) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    return list(islice(windows, count))


def test_windows_are_tensors_of_image_and_target():
    for image, target, whole in first(3, TrainingWindows(config_of(), [], size=16)):
        assert image.shape == target.shape == (16, 16, 16)
        assert (image.dtype, target.dtype) == (torch.float32, torch.bool)
        assert torch.isfinite(image).all()
        assert whole >= target.sum() > 0


def test_the_same_seed_gives_the_same_stream_and_another_another():
    streams = [first(2, TrainingWindows(config_of(seed=seed), [], size=16)) for seed in (3, 3, 4)]
    for (image, target, whole), (again, same, size) in zip(streams[0], streams[1], strict=True):
        assert torch.equal(image, again)
        assert torch.equal(target, same)
        assert whole == size
    assert not torch.equal(streams[0][0][0], streams[2][0][0])
    assert not torch.equal(streams[0][0][0], streams[0][1][0])


def test_workers_draw_different_windows():
    loader = DataLoader(TrainingWindows(config_of(), [], size=16), batch_size=2, num_workers=2)
    batches = [image for image, _, _ in islice(loader, 2)]
    assert not torch.equal(batches[0], batches[1])


def test_drawing_in_this_process_leaves_its_threads_alone(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: pytest.fail("the trainer's own threads were changed"))
    first(1, TrainingWindows(config_of(), [], size=16))


@pytest.fixture
def an_arrow(monkeypatch) -> np.ndarray:
    """Every synthetic sample is this one: a target that no flip maps onto itself, and its image."""
    target = np.zeros((8, 8, 8), dtype=bool)
    target[1, 1, 1:6] = target[1, 1:4, 1] = target[1:3, 1, 1] = True
    monkeypatch.setattr(dataset, "synthetic_sample", lambda rng, size: Sample(target.astype(np.float32), target, 123.0))
    return target


def test_image_and_target_are_flipped_together_along_every_axis(an_arrow):
    seen = set()
    for image, target, whole in first(60, TrainingWindows(config_of(), [], size=8)):
        assert torch.equal(image > 0.5, target)
        assert whole == 123.0
        seen.add(target.numpy().tobytes())
    flips = [tuple(axis for axis in range(3) if n >> axis & 1) for n in range(8)]
    assert seen == {np.flip(an_arrow, axes).tobytes() for axes in flips}


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """Which kind each window was; the windows themselves are empty."""
    kinds: list[str] = []
    empty = Sample(np.zeros((4, 4, 4), dtype=np.float32), np.zeros((4, 4, 4), dtype=bool), 0.0)

    def kind(name: str):
        return lambda *given: kinds.append(name) or empty

    monkeypatch.setattr(dataset, "synthetic_sample", kind("synthetic"))
    monkeypatch.setattr(dataset, "labeled_sample", kind("labeled"))
    monkeypatch.setattr(dataset, "lesion_into", kind("inserted"))
    monkeypatch.setattr(dataset, "background_window", lambda *given: empty.image)
    monkeypatch.setattr(dataset, "augmented", lambda rng, image: image)
    return kinds


def test_the_kinds_are_mixed_as_asked_for(drawn):
    first(400, TrainingWindows(config_of(labeled=0.5, inserted=0.2), ["a volume"], size=4))
    shares = {name: drawn.count(name) / len(drawn) for name in ("labeled", "inserted", "synthetic")}
    assert shares == pytest.approx({"labeled": 0.5, "inserted": 0.2, "synthetic": 0.3}, abs=0.08)


def test_organs_have_a_share_of_their_own(drawn, monkeypatch):
    def labeled(rng, volumes, size):
        drawn.append(volumes[0])
        return Sample(np.zeros((4, 4, 4), dtype=np.float32), np.zeros((4, 4, 4), dtype=bool), 0.0)

    monkeypatch.setattr(dataset, "labeled_sample", labeled)
    config = config_of(labeled=0.3, organ_share=0.3, inserted=0.2)
    first(400, TrainingWindows(config, ["a tumor"], ["an organ"], size=4))
    shares = {name: drawn.count(name) / len(drawn) for name in ("a tumor", "an organ", "inserted", "synthetic")}
    assert shares == pytest.approx({"a tumor": 0.3, "an organ": 0.3, "inserted": 0.2, "synthetic": 0.2}, abs=0.08)


def test_without_labeled_volumes_all_windows_are_synthetic(drawn):
    first(50, TrainingWindows(config_of(labeled=0.9), [], size=4))
    assert set(drawn) == {"synthetic"}
