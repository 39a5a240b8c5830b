"""Runs of a few steps: what they leave behind, that they go on where they stopped, and that nothing saved is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.labeled_sets import write_balls

from inference_core.errors import CheckpointError, OptionError, OutputError, VolumeError
from inference_core.models.store import trained_model, weights_of
from inference_core.models.weights import load_content, load_state_dict
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.progress import Reporter
from inference_core.training.run import train
from inference_core.training.run_folder import RunFolder, read_config

SMALL = LiteMixture(sizes=(16, 24), batches=(2, 1), stage_shares=(0.5, 0.5))


class Doing(Reporter):
    """Calls a function of the test's after each step."""

    def __init__(self, after_step: Callable[[int], None]) -> None:
        super().__init__()
        self.after_step = after_step

    def stepped(self, line: Mapping[str, Any]) -> None:
        super().stepped(line)
        self.after_step(line["step"])


@pytest.fixture(scope="module")
def a_set(tmp_path_factory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data") / "balls")


@pytest.fixture
def a_config(tmp_path, a_set) -> TrainConfig:
    """Eight steps, drawn in this process."""
    return TrainConfig(
        output=tmp_path / "run", data=(a_set,), steps=8, lite=SMALL, workers=0, validation_samples=2,
        learning_rate=1e-3, save_every=2, device="cpu",
    )  # fmt: skip


def lines_of(folder: RunFolder, name: str = "loss") -> list[float]:
    return [line[name] for line in folder.lines() if name in line]


def state_of(folder: RunFolder) -> dict[str, Any]:
    return load_content(folder.state)


def same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def stopping_after(steps: int, number: int = signal.SIGTERM) -> Doing:
    return Doing(lambda step: os.kill(os.getpid(), number) if step == steps else None)


def test_a_run_goes_through_its_stages_and_leaves_all_that_is_needed(a_config):
    folder = train(a_config)
    # Half the steps with two windows, half with one.
    assert state_of(folder)["progress"]["samples"] == 12
    assert len(lines_of(folder)) == 8
    assert load_state_dict(folder.last).keys() == state_of(folder)["network"].keys()
    assert read_config(folder.path).steps == 8
    split = json.loads((folder.path / "split.json").read_text())["balls"]
    assert len(split["train"]) == 2
    assert len(split["validation"]) == 1
    assert json.loads((folder.path / "environment.json").read_text())["torch"] == torch.__version__
    assert "data:image/png" in folder.page.read_text()


def test_a_run_stands_for_its_weights_and_its_model(a_config):
    folder = train(a_config)
    assert trained_model(folder.path) == "sam3d_lite"
    assert weights_of(folder.path) in (folder.best, folder.last)
    assert weights_of(folder.last) == folder.last


def test_a_budget_of_time_ends_a_run_too(a_config):
    folder = train(replace(a_config, steps=0, minutes=0.02))
    assert lines_of(folder, "minutes")[-1] >= 0.02


def test_a_budget_of_time_starts_as_gently_as_one_of_steps(a_config):
    highest = 1e-3
    folder = train(replace(a_config, steps=0, minutes=0.02, learning_rate=highest))
    assert lines_of(folder, "rate")[0] <= highest / 50


def test_a_worker_process_draws_the_same_windows(a_config):
    alone = train(a_config)
    helped = train(replace(a_config, workers=1, output=a_config.output.with_name("helped")))
    assert lines_of(alone) == lines_of(helped)


def test_the_loss_falls_and_the_best_weights_are_kept(a_config):
    mixture = replace(SMALL, sizes=(16,), batches=(2,), stage_shares=(1.0,), regions=0, inserted=0, tiny=0, limb=0)
    folder = train(replace(a_config, steps=120, lite=mixture, learning_rate=1e-3, validate_every=40))
    losses, kept = lines_of(folder), lines_of(folder, "validation_dice")
    assert np.mean(losses[-30:]) < 0.9 * np.mean(losses[:30])
    assert max(kept) > kept[0] + 0.1
    assert lines_of(folder, "best")[-1] == max(kept)
    assert weights_of(folder.path) == folder.best


@pytest.mark.parametrize("stop_at", [3, 4, 6])
def test_a_run_that_was_stopped_goes_on_to_the_same_losses_and_weights(a_config, tmp_path, stop_at):
    whole = train(replace(a_config, output=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(a_config, reporter=stopping_after(stop_at))
    folder = train(a_config, resume=True)
    assert lines_of(folder) == lines_of(whole)
    assert lines_of(folder, "rate") == lines_of(whole, "rate")
    for part in ("network", "ema"):
        assert same(state_of(folder)[part], state_of(whole)[part])


def test_a_run_that_was_killed_goes_on_from_its_newest_state(a_config, tmp_path):
    whole = train(replace(a_config, output=tmp_path / "whole"))

    def die(step: int) -> None:
        if step == 5:
            raise MemoryError("of the test")

    with pytest.raises(MemoryError):
        train(a_config, reporter=Doing(die))
    assert state_of(RunFolder(a_config.output, ".safetensors"))["progress"]["step"] == 4
    assert lines_of(train(a_config, resume=True)) == lines_of(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_and_keeps_what_was_learned(a_config, number):
    earlier = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(a_config, reporter=stopping_after(3, number))
    assert state_of(RunFolder(a_config.output, ".safetensors"))["progress"]["step"] == 3
    assert signal.getsignal(number) is earlier


@pytest.mark.skipif(os.name == "nt", reason="Windows signals no groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_the_run_as_softly(a_config, number):
    """As Ctrl-C in a terminal, `timeout` and batch systems send it: its workers have it before the run has."""

    def signal_all(step: int) -> None:
        if step == 3:
            workers = multiprocessing.active_children()
            assert workers
            # From elsewhere: a worker heeds its own trainer in another way.
            subprocess.run(["kill", f"-{int(number)}", *(str(process.pid) for process in workers)], check=True)
            time.sleep(0.5)
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train(replace(a_config, workers=1), reporter=Doing(signal_all))
    assert state_of(RunFolder(a_config.output, ".safetensors"))["progress"]["step"] == 3


def test_a_run_goes_on_for_longer_when_asked(a_config):
    train(replace(a_config, steps=2))
    assert len(lines_of(train(replace(a_config, steps=5), resume=True))) == 5


def test_accumulated_gradients_are_those_of_a_larger_batch(a_config, tmp_path):
    """Two batches of one window each, summed, against one of two; what one user does is not another's concern."""
    mixture = replace(SMALL, sizes=(16,), stage_shares=(1.0,))
    one = replace(a_config, steps=1, clicks=1, ema=0.0, output=tmp_path / "one", lite=replace(mixture, batches=(2,)))
    two = replace(one, accumulate=2, output=tmp_path / "two", lite=replace(mixture, batches=(1,)))
    found = [lines_of(train(replace(config, accumulate=max(1, config.accumulate))))[0] for config in (one, two)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_folder_of_another_run_is_never_written_into(a_config):
    a_config.output.mkdir()
    (a_config.output / "precious").write_bytes(b"precious")
    with pytest.raises(OutputError, match="is there already"):
        train(a_config)
    assert [path.name for path in a_config.output.iterdir()] == ["precious"]


def test_nothing_is_left_by_a_run_whose_data_cannot_be_read(a_config, tmp_path):
    with pytest.raises(VolumeError):
        train(replace(a_config, data=(tmp_path,)))
    assert not a_config.output.exists()


def test_the_same_seed_trains_the_same_weights_and_another_seed_others(a_config, tmp_path):
    found = [
        state_of(train(replace(a_config, steps=2, seed=seed, output=tmp_path / f"{number}")))["ema"]
        for number, seed in enumerate((3, 3, 4))
    ]
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_a_loss_that_is_not_a_number_ends_the_run_with_a_sentence_and_changes_no_weight(a_config):
    """A rate at which weights overflow at the first step."""
    with pytest.raises(Exception, match=r"not a number 20 times in a row; .*learning_rate"):
        train(replace(a_config, steps=60, learning_rate=1e30, save_every=1000))
    assert not (a_config.output / "state.pt").exists()


def test_a_run_may_start_from_the_weights_of_another(a_config, tmp_path):
    first = train(a_config)
    second = train(replace(a_config, steps=1, start_from=first.path, output=tmp_path / "second", learning_rate=1e-12))
    began, given = state_of(second)["network"], load_state_dict(weights_of(first.path))
    assert all(torch.allclose(began[name], value, atol=1e-6) for name, value in given.items())


def test_only_norms_and_the_first_stage_move_where_that_is_asked(a_config, tmp_path):
    """An adaptation of minutes: a tenth of the weights."""
    first = train(replace(a_config, steps=1))
    before = state_of(first)["network"]
    again = train(replace(a_config, scope="norms", start_from=first.last, output=tmp_path / "n", steps=3))
    after, given = state_of(again)["network"], load_state_dict(first.last)
    moved = {name for name in before if not torch.equal(after[name], given[name])}
    assert "encoder.stem.weight" in moved
    assert "encoder.middle.0.first.weight" not in moved
    assert sum(before[name].numel() for name in moved) < 0.1 * sum(value.numel() for value in before.values())


def test_bad_settings_are_refused_with_a_sentence(a_config):
    for change, message in (
        ({"scope": "everything"}, "choose one of all, norms, quality"),
        ({"preset": "tpu"}, "choose auto, cpu, 8gb"),
        ({"minutes": 1.0}, "Both steps and minutes"),
        ({"steps": -1}, "cannot be -1"),
        ({"precision": "float8"}, "choose float32 or bfloat16"),
        ({"model": "sam_2"}, "choose one of sam3d_lite"),
        ({"seed": -1}, "not between 0"),
        ({"shares": (1.0, 2.0)}, "give one for each"),
        ({"classes": (7,)}, "Class '7' occurs in no case to train on"),
    ):
        with pytest.raises((OptionError, VolumeError), match=message):
            train(replace(a_config, **change, output=a_config.output.with_name(str(abs(hash(message))))))


def test_a_run_that_is_not_there_cannot_be_gone_on_with(a_config):
    with pytest.raises(OutputError, match="no run that can be gone on with"):
        train(a_config, resume=True)


def test_a_damaged_state_is_refused_and_left_alone(a_config):
    folder = train(replace(a_config, steps=2))
    torch.save({"network": {}}, folder.state)
    with pytest.raises(CheckpointError, match="not the state of a run"):
        train(replace(a_config, steps=4), resume=True)
    assert folder.last.exists()
