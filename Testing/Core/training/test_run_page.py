"""What a run shows of itself: pictures of each look at the cases kept back, and curves for TensorBoard."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from support.labeled_sets import write_balls

from inference_core.training.board import Board
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.page import keep_pictures, write_page
from inference_core.training.run import train
from inference_core.training.run_folder import RunFolder

SMALL = LiteMixture(sizes=(16,), batches=(1,), stage_shares=(1.0,))


@pytest.fixture
def a_config(tmp_path):
    data = write_balls(tmp_path / "balls")
    return TrainConfig(
        output=tmp_path / "run", data=(data,), steps=6, lite=SMALL, workers=0, validation_samples=2, validate_every=2,
        device="cpu",
    )  # fmt: skip


@pytest.fixture
def a_picture():
    image = np.random.default_rng(0).random((16, 16))
    return image, image > 0.8, image > 0.7


def test_every_look_at_the_cases_kept_back_is_a_strip_of_the_page(a_config) -> None:
    folder = train(a_config)

    assert [path.name for path in sorted(folder.pictures.iterdir())] == [
        f"step_{step:08d}.png" for step in (0, 2, 4, 6)
    ]
    page = folder.page.read_text()
    assert [f"after step {step}" in page for step in (0, 2, 4, 6)] == [True] * 4
    assert "max='3' value='3'" in page
    assert page.count("data:image/png") == 5, "the curves and four strips"


def test_a_run_of_many_looks_keeps_the_first_the_last_and_some_between(tmp_path, a_picture) -> None:
    folder = RunFolder(tmp_path / "run", ".pth")
    folder.begin(TrainConfig(output=folder.path), {})
    for step in range(60):
        keep_pictures(folder, [a_picture], step=step)
        steps = sorted(int(path.stem[5:]) for path in folder.pictures.iterdir())
        assert len(steps) <= 24
        assert (steps[0], steps[-1]) == (0, step)
    write_page(folder)
    assert folder.page.stat().st_size < 2_000_000


def test_the_curves_are_tensorboards_and_go_on_after_a_stop(a_config) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(a_config)
    train(replace(a_config, steps=8), resume=True)

    events = accumulator.EventAccumulator(str(folder.board))
    events.Reload()
    losses = [event.value for event in events.Scalars("training/loss")]
    assert losses == pytest.approx([line["loss"] for line in folder.lines() if "loss" in line], rel=1e-5)
    assert [event.step for event in events.Scalars("training/loss")] == list(range(1, 9))
    assert events.Scalars("kept back/Dice")[-1].step == 8


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path / "tensorboard")
    board.add({"step": 1, "loss": 0.5})
    board.close()
    assert not (tmp_path / "tensorboard").exists()
