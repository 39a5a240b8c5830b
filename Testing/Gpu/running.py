"""The whole run: tests, speed of every family, training; each for its time, and all within nine minutes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Gpu.measuring import FAMILIES, LIGHT
from Gpu.parts import run_part
from Gpu.teaching import bring_home
from inference_core.benchmark.timing import machine_facts
from inference_core.io.atomic import replacing
from inference_core.training.run_folder import environment

TESTS = Path(__file__).parent
DEVICE_VARIABLE = "SAM3D_GPU_TESTS_DEVICE"
# Training has what the others leave, and six minutes at most; beside these it loads its data and writes its state.
TRAINING_S, _AROUND_TRAINING_S = 360.0, 35.0
_REHEARSED_TRAINING_S = 540.0
_REPORT = "SAM3D-GPU "


@dataclass(frozen=True)
class Limits:
    """Seconds of the whole, of the tests, of one family's speed, and of all of them."""

    whole: float
    tests: float
    family: float
    speed: float


ON_A_CARD = Limits(whole=540.0, tests=75.0, family=60.0, speed=100.0)
REHEARSAL = Limits(whole=1080.0, tests=540.0, family=540.0, speed=540.0)


def run_everything(
    out: Path, *, device: str, packed: Path | None, steps: int = 0, models: Sequence[str] = ()
) -> dict[str, Any]:
    """Run all parts, and keep `figures.json` in a folder up to date after each; what it says.

    With `steps`, training takes that many and only light families are measured: a rehearsal.
    """
    out.mkdir(parents=True, exist_ok=True)
    os.environ[DEVICE_VARIABLE] = device
    limits = REHEARSAL if steps else ON_A_CARD
    ends = time.monotonic() + limits.whole
    figures: dict[str, Any] = {"device": device, "machine": {**machine_facts(), **environment()}, "parts": {}}
    figures["parts"]["tests"] = _tests(limit_s=limits.tests)
    _keep(out, figures)
    chosen = models or (LIGHT if steps else FAMILIES)
    figures["parts"]["speed"] = speed = {}
    speed_ends = time.monotonic() + limits.speed
    for model in chosen:
        limit = min(speed_ends - time.monotonic(), limits.family)
        speed[model] = _measured(model, device, limit_s=limit)
        _keep(out, figures)
    left = ends - time.monotonic() - _AROUND_TRAINING_S
    figures["parts"]["training"] = _trained(
        out, device=device, packed=packed, minutes=min(TRAINING_S, left) / 60, steps=steps
    )
    _keep(out, figures)
    return figures


def failed(figures: dict[str, Any]) -> list[str]:
    """The parts that did not do what they were to."""
    parts = figures["parts"]
    wrong = [name for name in ("tests", "training") if parts[name]["status"] != 0]
    return wrong + [name for name, found in parts["speed"].items() if found["status"] != 0]


def say(content: Any) -> None:
    """Print a part's result where `run_everything` reads it."""
    print(_REPORT + json.dumps(content), flush=True)


def _tests(*, limit_s: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    return run_part(command, limit_s=limit_s).as_json()


def _measured(model: str, device: str, *, limit_s: float) -> dict[str, Any]:
    if limit_s < 5:
        return {"status": -1, "said": ["there was no time left for it"]}
    outcome = run_part([sys.executable, "-m", "Gpu", "measure", model, "--device", device], limit_s=limit_s, grace_s=2)
    return {**outcome.as_json(), "found": _reported(outcome.lines)}


def _trained(out: Path, *, device: str, packed: Path | None, minutes: float, steps: int) -> dict[str, Any]:
    if minutes < 0.2 and not steps:
        return {"status": -1, "said": ["there was no time left for it"]}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "Gpu", "teach", str(run), "--device", device, "--minutes", f"{minutes:.3f}"]
        command += ["--steps", str(steps)] if steps else []
        command += ["--packed", str(packed)] if packed is not None else []
        limit = _REHEARSED_TRAINING_S if steps else 60 * minutes + _AROUND_TRAINING_S
        outcome = run_part(command, limit_s=limit, grace_s=15)
        return {**outcome.as_json(), **bring_home(run, out)}


def _reported(lines: Sequence[str]) -> Any:
    found = [line for line in lines if line.startswith(_REPORT)]
    return json.loads(found[-1].removeprefix(_REPORT)) if found else None


def _keep(out: Path, figures: dict[str, Any]) -> None:
    with replacing(out / "figures.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
