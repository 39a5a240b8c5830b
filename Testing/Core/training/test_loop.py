"""The trainer with a network of toy size: what it leaves behind, and that it goes on where it stopped."""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_core.errors import CheckpointError, OutputError, VolumeError
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.weights import load_content, load_state_dict, load_strict
from inference_core.training.checkpoint import save_weights
from inference_core.training.config import TrainingConfig
from inference_core.training.loop import Trainer

TINY = LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8)
Weights = dict[str, torch.Tensor]


class Watched(Trainer):
    """A trainer that notes the loss and the rate of every step, and does something of the test's after each."""

    def __init__(self, config: TrainingConfig, after_step=lambda trainer: None) -> None:
        super().__init__(config, TINY)
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.after_step = after_step

    def _step(self, *batch):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        found = super()._step(*batch)
        self.losses.append(found[0])
        self.after_step(self)
        return found


@pytest.fixture
def a_config(tmp_path) -> TrainingConfig:
    """Eight steps on procedural windows, drawn in this process."""
    stages = ((0.5, 16, 2), (0.5, 24, 1))
    return TrainingConfig(
        output=tmp_path / "tiny.safetensors",
        steps=8,
        stages=stages,
        workers=0,
        measured_windows=4,
        measured_size=16,
        learning_rate=1e-2,
    )


def state_of(config: TrainingConfig) -> Path:
    return config.output.with_suffix(".state.pt")


def weights_of(path: Path) -> Weights:
    network = LiteNetwork(TINY)
    load_strict(network, load_state_dict(path))
    return network.state_dict()


def copied(weights: Weights) -> Weights:
    return {name: value.clone() for name, value in weights.items()}


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def raising_after(steps: int, error: BaseException):
    def after_step(trainer: Watched) -> None:
        if len(trainer.losses) == steps:
            raise error

    return after_step


def test_a_run_goes_through_its_stages_and_leaves_a_state(a_config):
    trainer = Watched(a_config)
    before = copied(trainer.network.state_dict())
    trainer.run()
    # Half the steps with two windows, half with one.
    assert (trainer.progress.steps, trainer.progress.samples) == (8, 12)
    state = load_content(state_of(a_config))
    assert same(state["network"], trainer.network.state_dict())
    assert same(state["ema"], trainer.ema)
    assert not same(state["network"], before)
    assert (state["steps"], state["samples"]) == (8, 12)


def test_a_budget_of_time_ends_a_run_too(a_config):
    trainer = Watched(replace(a_config, steps=None, minutes=0.02))
    trainer.run()
    assert trainer.progress.steps >= 1
    assert trainer.progress.minutes >= 0.02


def test_a_worker_process_draws_the_same_windows(a_config):
    alone, helped = Watched(a_config), Watched(replace(a_config, workers=1, output=a_config.output.with_stem("two")))
    alone.run()
    helped.run()
    assert alone.losses == helped.losses


def test_the_loss_falls_over_a_longer_run(a_config):
    trainer = Watched(replace(a_config, steps=120, stages=((1.0, 16, 2),), learning_rate=4e-3))
    assert trainer.run()
    assert np.mean(trainer.losses[-30:]) < 0.95 * np.mean(trainer.losses[:30])


def test_the_weights_written_are_the_best_average_by_the_runs_own_measure(a_config):
    trainer = Watched(replace(a_config, steps=120, stages=((1.0, 16, 2),), learning_rate=4e-3))
    began = {}
    trainer.after_step = lambda run: began.setdefault("with", run.progress.best)
    assert trainer.run()
    assert trainer.progress.best > began["with"]
    written = weights_of(a_config.output)
    assert trainer.measure.dice(trainer.network, written) == pytest.approx(trainer.progress.best, abs=0.02)


def test_a_run_that_gets_no_better_writes_no_weights(a_config):
    """A rate at which nothing but harm is done."""
    trainer = Watched(replace(a_config, learning_rate=1e-12))
    trainer.after_step = lambda run: setattr(run.progress, "best", 1.0)
    assert not trainer.run()
    assert not a_config.output.exists()
    assert state_of(a_config).is_file()


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_a_run_that_was_stopped_goes_on_to_the_same_losses_and_weights(a_config, tmp_path, stop_at):
    whole = Watched(replace(a_config, output=tmp_path / "whole.safetensors"))
    whole.run()

    def stop(trainer: Watched) -> None:
        if len(trainer.losses) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    first = Watched(a_config, stop)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert first.progress.steps == stop_at
    second = Watched(replace(a_config, resume=True, seed=a_config.seed))
    second.run()
    assert first.losses + second.losses == whole.losses
    assert first.rates + second.rates == whole.rates
    assert same(second.network.state_dict(), whole.network.state_dict())
    assert same(second.ema, whole.ema)


def test_time_spent_before_counts_when_a_run_goes_on(a_config):
    Watched(replace(a_config, steps=2)).run()
    state = load_content(state_of(a_config))
    torch.save({**state, "minutes": 12.5}, state_of(a_config).with_suffix(".new"))
    state_of(a_config).with_suffix(".new").replace(state_of(a_config))
    assert Watched(replace(a_config, resume=True)).progress.minutes >= 12.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_and_keeps_what_was_learnt(a_config, number):
    earlier = signal.getsignal(number)
    trainer = Watched(a_config, lambda run: os.kill(os.getpid(), number) if len(run.losses) == 3 else None)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert load_content(state_of(a_config))["steps"] == 3
    assert signal.getsignal(number) is earlier


def test_an_error_keeps_what_was_learnt(a_config):
    with pytest.raises(RuntimeError, match="of the test"):
        Watched(a_config, raising_after(3, RuntimeError("of the test"))).run()
    assert load_content(state_of(a_config))["steps"] == 2


def test_a_file_of_another_run_is_never_overwritten(a_config):
    for path in (a_config.output, state_of(a_config)):
        path.write_bytes(b"precious")
        with pytest.raises(OutputError, match="of another run"):
            Watched(a_config).run()
        assert path.read_bytes() == b"precious"
        path.unlink()


def test_a_run_that_fails_at_once_leaves_nothing(a_config, tmp_path):
    broken = tmp_path / "organs" / "case_7"
    broken.mkdir(parents=True)
    (broken / "label.nii.gz").write_bytes(b"")
    (broken / "image.nii.gz").write_bytes(b"no image")
    with pytest.raises(VolumeError, match=r"image\.nii\.gz"):
        Watched(replace(a_config, organs=tmp_path / "organs")).run()
    assert not a_config.output.exists()
    assert not state_of(a_config).exists()


def test_the_same_seed_trains_the_same_weights(a_config, tmp_path):
    found = []
    for number, seed in enumerate((3, 3, 4)):
        trainer = Watched(replace(a_config, seed=seed, output=tmp_path / f"{number}.safetensors"))
        trainer.run()
        found.append(trainer.ema)
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_the_average_follows_the_weights_closely_at_first(a_config):
    """1/10 of the old and 9/10 of the new after the first step, so that chance leaves the average soon."""
    trainer = Watched(replace(a_config, steps=1, stages=((1.0, 16, 2),)))
    start = copied(trainer.ema)
    trainer.run()
    for name, value in trainer.network.state_dict().items():
        torch.testing.assert_close(trainer.ema[name], 0.1 * start[name] + 0.9 * value)


def test_a_step_that_is_not_finite_changes_no_weight(a_config):
    trainer = Watched(a_config)
    before = copied(trainer.network.state_dict())
    trainer._learn(sum(weight.sum() for weight in trainer.network.parameters()) * torch.nan)
    assert same(before, trainer.network.state_dict())


def test_the_rate_rises_at_first_and_falls_to_the_end(a_config):
    trainer = Watched(replace(a_config, steps=1000))
    rates = []
    for step in range(1000):
        trainer.progress.steps = step
        trainer._set_rate(trainer._spent())
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    highest = int(np.argmax(rates))
    assert 80 <= highest <= 120
    assert 0.9 * a_config.learning_rate < max(rates) <= a_config.learning_rate
    assert rates[0] < 0.02 * a_config.learning_rate
    assert rates[-1] < 0.03 * a_config.learning_rate
    assert (np.diff(rates[:highest]) > 0).all()
    assert (np.diff(rates[highest:]) < 0).all()


def test_a_run_may_start_from_the_weights_of_another(a_config, tmp_path):
    first = Watched(a_config)
    first.run()
    save_weights(tmp_path / "first.safetensors", first.ema)
    second = Watched(replace(a_config, start_from=tmp_path / "first.safetensors", seed=9))
    assert same(second.network.state_dict(), weights_of(tmp_path / "first.safetensors"))
    assert second.progress.steps == 0


def test_weights_of_another_network_are_refused(a_config, tmp_path):
    other = LiteNetwork(replace(TINY, fine=16))
    save_weights(tmp_path / "other.safetensors", other.state_dict())
    with pytest.raises(CheckpointError, match="of another size"):
        Watched(replace(a_config, start_from=tmp_path / "other.safetensors"))


def test_a_file_that_is_no_state_is_refused(a_config, tmp_path):
    (tmp_path / "notes.pt").write_text("not weights")
    with pytest.raises(CheckpointError, match="not a weights file"):
        Watched(replace(a_config, start_from=tmp_path / "notes.pt"))
    torch.save({"network": {}}, state_of(a_config))
    with pytest.raises(CheckpointError, match="not the state of a run"):
        Watched(replace(a_config, resume=True))


def test_an_output_that_cannot_be_written_is_refused_before_training(a_config, tmp_path):
    trainer = Watched(replace(a_config, output=tmp_path / "absent" / "tiny.safetensors"))
    with pytest.raises(OutputError, match="does not exist"):
        trainer.run()
    assert not trainer.losses


def test_labeled_patients_are_read_and_held_out_ones_are_not(a_config, tmp_path, a_patient, caplog):
    for name in ("STS_001", "STS_003"):
        a_patient(tmp_path / "sarcoma" / name, images=("CT",))
    with caplog.at_level(logging.INFO):
        Watched(replace(a_config, sarcoma=tmp_path / "sarcoma", steps=2)).run()
    assert "3 cases at 30%" in caplog.text


def test_progress_is_logged_on_the_way(a_config, caplog):
    with caplog.at_level(logging.INFO):
        Watched(replace(a_config, steps=50, stages=((1.0, 16, 1),))).run()
    reports = [json.loads(record.message) for record in caplog.records if '"dice_last"' in record.message]
    assert [report["step"] for report in reports] == [25, 50]
    assert all(0 <= report["dice_first"] <= 1 for report in reports)
