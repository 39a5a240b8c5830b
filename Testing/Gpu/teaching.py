"""The default model trained for some minutes from what was packed, and what is brought home of it.

Files that come home are of at most 16 MB each: `state.pt` is cut in parts, which `joined` puts together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from Gpu.packing import PACK_FILE, START_STATE, START_WEIGHTS, WEIGHTS, unpacked_state
from inference_core.errors import OutputError
from inference_core.training.checkpoint import load_training_state, save_content
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.progress import Reporter
from inference_core.training.run import train
from inference_core.training.run_folder import SPLIT_FILE, RunFolder, read_splits

PART_BYTES = 15_000_000
_LINES_KEPT = 200


def teach(
    packed: Path | None, run: Path, *, device: str, minutes: float, steps: int = 0, reporter: Reporter | None = None
) -> RunFolder:
    """Train within a budget of minutes, or of steps where these are given, from what was packed or the shipped weights.

    Raises:
        SAM3DError: what was packed cannot be used.
    """
    config = configured(packed, run, device=device, minutes=minutes, steps=steps)
    state = None if packed is None else packed / START_STATE
    if state is None or not state.is_file():
        return train(config, reporter=reporter)
    folder, earlier = RunFolder(run, ".safetensors"), load_training_state(state)
    # By another seed than the run before, whose windows it would see again.
    seed = config.seed + int(earlier["progress"]["samples"])
    folder.begin(replace(config, start_from=None, seed=seed), read_splits(packed / SPLIT_FILE))
    save_content(folder.state, unpacked_state(earlier))
    return train(TrainConfig(run), resume=True, reporter=reporter)


def configured(packed: Path | None, run: Path, *, device: str, minutes: float, steps: int = 0) -> TrainConfig:
    """The settings of such a run: on a card large batches in bfloat16; in a budget of steps as small as they can be."""
    small = steps > 0
    mixture = LiteMixture(sizes=(32,), batches=(2,), stage_shares=(1.0,)) if small else _mixture(device)
    config = TrainConfig(
        run, start_from=WEIGHTS, steps=steps, minutes=0.0 if small else minutes, device=device, learning_rate=3e-4,
        ema=0.995, validation_samples=2 if small else 64, validate_every=max(steps, 1) if small else 200,
        save_every=max(steps, 1) if small else 100, workers=0 if small else max(1, min(14, (os.cpu_count() or 2) - 2)),
        precision="bfloat16" if device == "cuda" else "float32", seed=23, lite=mixture,
    )  # fmt: skip
    if packed is None:
        return config
    content = json.loads((packed / PACK_FILE).read_text(encoding="utf-8"))
    weights = packed / START_WEIGHTS
    return replace(
        config, data=tuple(packed / "data" / name for name in content["sets"]), shares=tuple(content["shares"]),
        split=packed / SPLIT_FILE, start_from=weights if weights.is_file() else WEIGHTS,
    )  # fmt: skip


def bring_home(run: Path, out: Path) -> dict[str, Any]:
    """Copy a run's weights and the parts of its state into a folder; its figures."""
    folder, figures = RunFolder(run, ".safetensors"), {}
    lines = folder.lines()
    losses = [line for line in lines if "loss" in line]
    if losses:
        every = max(1, len(losses) // _LINES_KEPT)
        last = losses[-1]
        figures = {"steps": last["step"], "minutes": last["minutes"], "losses": losses[::every]}
    figures["validation"] = [line for line in lines if "validation_dice" in line]
    for weights in (folder.best, folder.last):
        if weights.is_file():
            shutil.copyfile(weights, out / weights.name)
    if folder.state.is_file():
        figures["samples"] = load_training_state(folder.state)["progress"]["samples"]
        figures["state_parts"] = cut(folder.state, out)
    for name in ("config.json", SPLIT_FILE, "environment.json"):
        if (run / name).is_file():
            figures[name.partition(".")[0]] = json.loads((run / name).read_text(encoding="utf-8"))
    return figures


def cut(path: Path, out: Path, *, most_bytes: int = PART_BYTES) -> list[str]:
    """Copy a file into a folder as parts NAME.0, NAME.1, ... of at most so many bytes; their names."""
    names = []
    with path.open("rb") as file:
        while piece := file.read(most_bytes):
            names.append(f"{path.name}.{len(names)}")
            (out / names[-1]).write_bytes(piece)
    return names


def joined(out: Path, run: Path) -> Path:
    """Make a run's folder of what came home: to be packed again, and to take weights from with `--weights`.

    Raises:
        OutputError: the folder is there already, or parts are missing.
    """
    figures = _figures(out)
    parts = [out / name for name in figures.get("state_parts", ())]
    missing = next((part for part in parts if not part.is_file()), None)
    if missing is not None or not parts:
        raise OutputError(f"'{out}' has not all parts of a state ({missing or 'none'}); copy its files again.")
    folder = RunFolder(run, ".safetensors")
    folder.begin(TrainConfig(run), {})
    for name in ("config", "split", "environment"):
        folder.write(f"{name}.json", figures[name])
    with folder.state.open("wb") as state:
        for part in parts:
            state.write(part.read_bytes())
    for weights in (folder.best, folder.last):
        if (out / weights.name).is_file():
            shutil.copyfile(out / weights.name, weights)
    folder.name_weights("sam3d_lite", folder.best if folder.best.is_file() else folder.last)
    return run


def _figures(out: Path) -> Mapping[str, Any]:
    path = out / "figures.json"
    if not path.is_file():
        raise OutputError(f"'{out}' has no figures.json; give the folder that `make gpu` left.")
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["parts"].get("training", {})
    return found


def _mixture(device: str) -> LiteMixture:
    sizes: Sequence[int] = (48, 64)
    batches = (18, 10) if device == "cuda" and torch.cuda.is_available() else (6, 4)
    return LiteMixture(sizes=tuple(sizes), batches=batches, stage_shares=(0.6, 0.4))
