"""One fuzzer after another, each batch in a process of its own, so that a crash or a hang is a find like any other."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from Fuzz.fuzzers import FUZZERS
from inference_core.errors import SAM3DError

BATCH = 100
_LONGEST_S = 30.0
_MOST_GIB = 12


@dataclass
class Tally:
    """What came of a fuzzer's cases; `finds` are its seeds and what they led to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finds: list[tuple[int, str]] = field(default_factory=list)

    def add(self, seed: int, outcome: str) -> None:
        """Count an outcome: done, refused, or a find."""
        known = outcome in ("done", "refused")
        self.outcomes[outcome if known else "find"] += 1
        if not known:
            self.finds.append((seed, outcome))


def outcome_of(name: str, seed: int) -> str:
    """One case: "done", "refused", or what went wrong."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            FUZZERS[name](np.random.default_rng(seed), Path(folder))
        except SAM3DError as error:
            text = str(error)
            if not text or text[-1] not in ".!?'\"":
                return f"a refusal that is no sentence: {text}"
        except BaseException:  # noqa: BLE001 - each is a find
            return traceback.format_exc()
        else:
            return _if_slow(started, "done")
    return _if_slow(started, "refused")


def _if_slow(started: float, outcome: str) -> str:
    seconds = time.monotonic() - started
    return outcome if seconds < _LONGEST_S else f"{outcome}, but after {seconds:.0f} s"


def work(name: str, first: int, count: int) -> None:
    """The cases of a batch, each begun and ended with a line of JSON on stdout."""
    _bound_memory()
    for seed in range(first, first + count):
        print(json.dumps([seed, None]), flush=True)
        print(json.dumps([seed, outcome_of(name, seed)]), flush=True)


def _bound_memory() -> None:
    if sys.platform.startswith("linux"):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_GIB * 2**30, _MOST_GIB * 2**30))


def run_batch(name: str, first: int, count: int, tally: Tally, *, timeout_s: float) -> None:
    """A batch in a process of its own; of one that crashes or hangs, the case that it was at is the find."""
    command = [sys.executable, "-X", "faulthandler", "-m", "Fuzz", "--worker", name, str(first), str(count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        output, end = done.stdout, f"the process ended with {done.returncode}\n{done.stderr[-3000:]}"
        failed = done.returncode != 0
    except subprocess.TimeoutExpired as late:
        output, failed, end = (late.stdout or b"").decode(), True, f"no end within {timeout_s:.0f} s"
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("[")]
    for seed, outcome in lines:
        if outcome is not None:
            tally.add(seed, outcome)
    if failed:
        tally.add(lines[-1][0] if lines else first, end)


def run(minutes: float, names: list[str], *, seed: int) -> dict[str, Tally]:
    """Batches of all fuzzers in turn until the time is up; the last one may take longer."""
    until, tallies, first = time.monotonic() + 60 * minutes, {name: Tally() for name in names}, seed
    while time.monotonic() < until:
        for name in names:
            if time.monotonic() >= until:
                break
            run_batch(name, first, BATCH, tallies[name], timeout_s=BATCH * _LONGEST_S)
            print(f"{name}: {dict(tallies[name].outcomes)}", flush=True)
        first += BATCH
    return tallies
