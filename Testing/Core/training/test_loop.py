"""The trainer with a network of toy size, on a clock that ticks once a look: the number of steps is always the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference_core.errors import CheckpointError, OutputError
from inference_core.models.sam3d_lite.model import LiteConfig, LiteNetwork
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training import loop
from inference_core.training.config import TrainingConfig
from inference_core.training.loop import Progress, Trainer
from inference_core.training.synthetic import synthetic_sample

TINY = LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8)


@pytest.fixture(autouse=True)
def a_toy_network_and_clock(monkeypatch) -> None:
    """One look at the clock is one second; a step looks once."""
    ticks = count()
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr(loop, "LiteConfig", lambda: TINY)
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "Progress", partial(make_progress, clock))


def make_progress(clock: SimpleNamespace) -> Progress:
    return Progress(started=clock.monotonic())


@pytest.fixture
def a_config(tmp_path) -> TrainingConfig:
    """Budget for about eight steps on procedural windows, drawn in this process."""
    stages = ((0.5, 16, 2), (0.5, 24, 1))
    return TrainingConfig(minutes=9 / 60, output=tmp_path / "tiny.safetensors", stages=stages, workers=0)


@pytest.fixture
def one_batch(monkeypatch) -> None:
    """The stream is the same two windows for ever."""
    samples = [synthetic_sample(np.random.default_rng(seed), 16) for seed in (1, 2)]
    pair = [(torch.from_numpy(s.image), torch.from_numpy(s.target), s.whole) for s in samples]

    class TheSame(torch.utils.data.IterableDataset):
        def __init__(self, *given, size: int) -> None:
            super().__init__()
            self.size = size

        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
            while True:
                yield from pair

    monkeypatch.setattr(loop, "TrainingWindows", TheSame)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    network = LiteNetwork(TINY)
    load_strict(network, load_state_dict(path))
    return network.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_run_goes_through_its_stages_and_leaves_weights_and_a_state(a_config):
    trainer = Trainer(a_config)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    assert 6 <= trainer.progress.steps <= 9
    # Half the steps with two windows, half with one.
    assert trainer.progress.steps < trainer.progress.samples < 2 * trainer.progress.steps
    saved = weights_of(a_config.output)
    assert all(torch.isfinite(value).all() for value in saved.values())
    assert not same(saved, before)
    state = torch.load(a_config.output.with_suffix(".state.pt"), weights_only=True)
    assert same(state["network"], trainer.network.state_dict())
    assert same({name: value.half().float() for name, value in state["ema"].items()}, saved)


def test_a_worker_process_may_draw_the_windows(a_config):
    trainer = Trainer(replace(a_config, workers=1, minutes=4 / 60, stages=((1.0, 16, 1),)))
    trainer.run()
    assert trainer.progress.steps >= 2
    assert a_config.output.is_file()


def test_the_loss_falls_on_a_batch_that_is_shown_again_and_again(a_config, one_batch, monkeypatch):
    monkeypatch.setattr(loop, "_CLICK_SHARES", (1.0,))  # the losses of several clicks add up
    trainer = Trainer(replace(a_config, minutes=25 / 60, stages=((1.0, 16, 2),), learning_rate=1e-2))
    trainer.run()
    losses = [loss for loss, _, _ in trainer.progress.recent]
    assert len(losses) > 20
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


def test_the_same_seed_trains_the_same_weights(a_config, tmp_path):
    outputs = []
    for number, seed in enumerate((3, 3, 4)):
        config = replace(a_config, seed=seed, minutes=4 / 60, output=tmp_path / f"{number}.safetensors")
        Trainer(config).run()
        outputs.append(weights_of(config.output))
    assert same(outputs[0], outputs[1])
    assert not same(outputs[0], outputs[2])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_keeps_what_was_learnt(a_config, monkeypatch, stop):
    trainer = Trainer(a_config)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    step = Trainer._step

    def stopped_in_the_third(self, *batch):
        if self.progress.steps == 2:
            raise stop
        return step(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stopped_in_the_third)
    with pytest.raises(stop):
        trainer.run()
    saved = weights_of(a_config.output)
    assert trainer.progress.steps == 2
    assert not same(saved, before)
    assert same(saved, {name: value.half().float() for name, value in trainer.ema.items()})


def test_the_average_follows_the_weights_closely_at_first(a_config, one_batch):
    """1/10 of the old and 9/10 of the new after the first step, so that chance leaves the average soon."""
    trainer = Trainer(replace(a_config, minutes=1.5 / 60, stages=((1.0, 16, 2),)))
    start = {name: value.clone() for name, value in trainer.ema.items()}
    trainer.run()
    assert trainer.progress.steps == 1
    for name, value in trainer.network.state_dict().items():
        torch.testing.assert_close(trainer.ema[name], 0.1 * start[name] + 0.9 * value)


def test_a_step_that_is_not_finite_changes_no_weight(a_config, monkeypatch):
    trainer = Trainer(replace(a_config, minutes=3 / 60))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    monkeypatch.setattr(loop, "mask_loss", lambda logits, truth: (logits * torch.nan).sum())
    trainer.run()
    assert trainer.progress.steps > 0
    assert same(before, trainer.network.state_dict())


def test_the_rate_rises_at_first_and_falls_to_the_end(a_config, one_batch, monkeypatch):
    rates = []

    def look(self, *batch):
        rates.append(self.optimizer.param_groups[0]["lr"])
        return 0.0, 0.0, 0.0

    monkeypatch.setattr(Trainer, "_step", look)
    Trainer(replace(a_config, minutes=1000 / 60, stages=((1.0, 16, 2),))).run()
    highest = int(np.argmax(rates))
    assert 80 <= highest <= 120
    assert 0.9 * a_config.learning_rate < max(rates) <= a_config.learning_rate
    assert rates[0] < 0.02 * a_config.learning_rate
    assert rates[-1] < 0.03 * a_config.learning_rate
    assert (np.diff(rates[:highest]) > 0).all()
    assert (np.diff(rates[highest:]) < 0).all()


def test_a_run_goes_on_from_the_state_of_another(a_config, tmp_path):
    first = Trainer(a_config)
    first.run()
    state = a_config.output.with_suffix(".state.pt")
    second = Trainer(replace(a_config, start_from=state, seed=9))
    assert same(first.network.state_dict(), second.network.state_dict())


def test_a_state_of_another_network_is_refused(a_config, monkeypatch):
    Trainer(a_config).save()
    monkeypatch.setattr(loop, "LiteConfig", lambda: replace(TINY, fine=16))
    with pytest.raises(CheckpointError, match="of another size"):
        Trainer(replace(a_config, start_from=a_config.output.with_suffix(".state.pt")))


def test_a_file_that_is_no_state_is_refused(a_config, tmp_path):
    (tmp_path / "notes.pt").write_text("not weights")
    with pytest.raises(CheckpointError, match="not a weights file"):
        Trainer(replace(a_config, start_from=tmp_path / "notes.pt"))


def test_an_output_that_cannot_be_written_is_refused_before_training(a_config, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_step", lambda *given: pytest.fail("it trained all the same"))
    with pytest.raises(OutputError, match="does not exist"):
        Trainer(replace(a_config, output=tmp_path / "absent" / "tiny.safetensors")).run()


def test_labeled_patients_are_read_and_held_out_ones_are_not(a_config, tmp_path, a_patient, caplog):
    for name in ("STS_001", "STS_003"):
        a_patient(tmp_path / "sarcoma" / name, images=("CT",))
    with caplog.at_level(logging.INFO, logger=loop.__name__):
        Trainer(replace(a_config, sarcoma=tmp_path / "sarcoma", minutes=3 / 60)).run()
    assert "3 tumors, 0 organs" in caplog.text


def test_progress_is_logged_and_saved_on_the_way(a_config, one_batch, caplog, monkeypatch):
    saves = []
    monkeypatch.setattr(Trainer, "_step", lambda *given: (1.0, 0.25, 0.75))
    monkeypatch.setattr(Trainer, "save", lambda self: saves.append(self.progress.steps))
    with caplog.at_level(logging.INFO, logger=loop.__name__):
        Trainer(replace(a_config, minutes=300 / 60, stages=((1.0, 16, 2),))).run()
    reports = [record.message for record in caplog.records if '"dice_last": 0.75' in record.message]
    assert len(reports) >= 10
    assert '"dice_first": 0.25' in reports[0]
    assert saves[0] == 250
    assert len(saves) == 2
