"""Two processes on one run, as torchrun starts them: the same losses as one, and nothing lost when one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.labeled_sets import write_balls

from inference_core.training.processes import Numbers

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]
ALONE = [sys.executable]
SETTINGS = [
    "--clicks", "2", "--workers", "0", "--validation-samples", "2", "--save-every", "2", "--learning-rate", "1e-3",
    "--device", "cpu", "--lite.sizes", "[16]", "--lite.stage_shares", "[1.0]",
]  # fmt: skip


@pytest.fixture(scope="module")
def a_set(tmp_path_factory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data") / "balls")


def started(program: list[str], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [*program, "-m", "inference_core", "train", "--output", str(folder), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def losses(folder: Path) -> list[float]:
    path = folder / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line["loss"] for line in lines if "loss" in line]


def test_each_process_has_its_own_part_of_every_round():
    first, second = (iter(Numbers(4, batch=2, rank=rank, processes=2)) for rank in (0, 1))
    assert [next(first) for _ in range(4)] == [4, 5, 8, 9]
    assert [next(second) for _ in range(4)] == [6, 7, 10, 11]


def test_two_processes_have_the_losses_of_one_with_twice_the_batch(tmp_path, a_set):
    given = ["--data", str(a_set), "--steps", "4", *SETTINGS]
    runs = [
        started([*TORCHRUN, "29511"], tmp_path / "two", *given, "--lite.batches", "[1]"),
        started(ALONE, tmp_path / "one", *given, "--lite.batches", "[2]"),
    ]
    for run in runs:
        _, said = run.communicate(timeout=110)
        assert run.returncode == 0, said
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert len(losses(tmp_path / "two")) == 4


def test_a_killed_process_ends_all_and_the_run_goes_on(tmp_path, a_set):
    given = ["--data", str(a_set), "--steps", "100000", *SETTINGS, "--lite.batches", "[1]"]
    run = started([*TORCHRUN, "29512"], tmp_path / "run", *given)
    deadline = time.monotonic() + 80
    while len(losses(tmp_path / "run")) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        os.killpg(run.pid, signal.SIGKILL)
        pytest.skip("this system does not list a process's children")
    os.kill(int(children.read_text().split()[-1]), signal.SIGKILL)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert (tmp_path / "run" / "state.pt").exists(), said
    before = losses(tmp_path / "run")
    again = started(ALONE, tmp_path / "run", "--resume", "--steps", str(len(before) + 2))
    _, said = again.communicate(timeout=110)
    assert again.returncode == 0, said
    assert len(losses(tmp_path / "run")) == len(before) + 2
