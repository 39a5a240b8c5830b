"""Training data and the newest state in little room: what a machine without a network is given beside the repository.

A pack is a folder: `data` has a folder a set and in it a folder a case (image.nii.gz, label.nii.gz), under the names
of the set and the case, `split.json` says who is trained on and who is kept back, `start.pt` or `start.safetensors` is
where to go on from, and `pack.json` says how often each set is drawn from.

Images are kept in 511 steps of their own contrast, each a fifth of a percent of it, as int16: training adds noise of up
to eight percent. They keep their voxels: windows are never finer than 0.75 mm, and no image here is much finer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray

from inference_core.errors import OptionError, OutputError
from inference_core.training.checkpoint import load_training_state, save_content
from inference_core.training.data.cases import Case, DataSet, Split
from inference_core.training.data.layouts import read_data_set
from inference_core.training.run_folder import SPLIT_FILE, read_splits

ROOT = Path(__file__).resolve().parents[2]
SPLIT = ROOT / "Resources" / "Docs" / "sam3d_lite_split.json"
WEIGHTS = ROOT / "Resources" / "Models" / "sam3d_lite.safetensors"
START_STATE, START_WEIGHTS, PACK_FILE = "start.pt", "start.safetensors", "pack.json"
MEGABYTE = 1_000_000
LISTS_BYTES = 20_000
_STEPS = 511
_CONTRAST = (0.05, 99.95)
# For choosing the best weights; the others are trained on.
_KEPT_BACK = 0.12


@dataclass(frozen=True)
class Queue:
    """A set's cases that are still to be packed, and its share of the room."""

    data: DataSet
    names: list[str]
    share: float


def pack(
    folders: Sequence[Path],
    output: Path,
    *,
    shares: Sequence[float] = (),
    split: Path = SPLIT,
    budget_bytes: int = 60 * MEGABYTE,
    run: Path | None = None,
    seed: int = 0,
) -> dict[str, Split]:
    """Pack cases of some sets until the budget is full, and where to go on from; who was packed, set by set.

    Cases of a split's test side are never packed. `run` is a training run to go on with; without it training goes on
    from the shipped weights.

    Raises:
        OptionError: a set is not in the split, or the budget has no room for a case.
        OutputError: the folder is there already.
        SAM3DError: a set or the run cannot be read.
    """
    if output.exists():
        raise OutputError(f"'{output}' is there already; choose another folder, or delete it.")
    sets, splits = [read_data_set(folder) for folder in folders], read_splits(split)
    missing = next((data.name for data in sets if data.name not in splits), None)
    if missing is not None:
        raise OptionError(f"'{split.name}' says nothing about '{missing}'; name another split, or leave the set out.")
    weighed = list(shares) or [1.0] * len(sets)
    output.mkdir(parents=True)
    left = budget_bytes - LISTS_BYTES - _pack_start(output, run)
    kept = _fill(output, _queues(sets, splits, weighed, "validation", seed), round(left * _KEPT_BACK))
    trained = _fill(output, _queues(sets, splits, weighed, "train", seed), left - _size(output / "data"))
    if not any(trained.values()):
        raise OptionError(f"{budget_bytes / MEGABYTE:.0f} MB have no room for one case; give a larger --megabytes.")
    found = {data.name: Split(tuple(trained[data.name]), tuple(kept[data.name])) for data in sets}
    (output / SPLIT_FILE).write_text(json.dumps({name: asdict(of) for name, of in found.items()}, indent=1))
    content = {"sets": [data.name for data in sets], "shares": weighed}
    (output / PACK_FILE).write_text(json.dumps(content, indent=1))
    return found


def packed_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A run's state in half the room: weights as float16, the optimizer's moments as bfloat16."""
    return _in_precision(state, weights=torch.float16, moments=torch.bfloat16)


def unpacked_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A packed state in float32 again, steps and minutes at zero: the schedule begins anew, the optimizer does not."""
    whole = _in_precision(state, weights=torch.float32, moments=torch.float32)
    return {**whole, "progress": {"step": 0, "samples": 0, "best": None, "minutes": 0.0}}


def _in_precision(state: Mapping[str, Any], *, weights: torch.dtype, moments: torch.dtype) -> dict[str, Any]:
    optimizer = state["optimizer"]
    kept = {
        number: {name: _as(value, moments) for name, value in of.items()} for number, of in optimizer["state"].items()
    }
    networks = {part: {k: _as(v, weights) for k, v in state[part].items()} for part in ("network", "ema")}
    return {**state, **networks, "optimizer": {**optimizer, "state": kept}}


def quantized(image: NDArray[Any]) -> tuple[NDArray[np.int16], float, float]:
    """An image as int16 in steps of its contrast, and the slope and the intercept that give its values back.

    What is beyond the darkest and the brightest twentieth of a percent is cut off a quarter of the contrast further on.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, _CONTRAST)
    step = (high - low) / _STEPS if high > low else 1.0
    steps = np.clip(np.rint((values - low) / step), -_STEPS // 4, _STEPS + _STEPS // 4)
    return steps.astype(np.int16), float(step), float(low)


def _pack_start(output: Path, run: Path | None) -> int:
    if run is None:
        shutil.copyfile(WEIGHTS, output / START_WEIGHTS)
    else:
        save_content(output / START_STATE, packed_state(load_training_state(run / "state.pt")))
    return _size(output)


def _queues(
    sets: Sequence[DataSet], splits: Mapping[str, Split], shares: Sequence[float], side: str, seed: int
) -> list[Queue]:
    found = []
    for data, share in zip(sets, shares, strict=True):
        there = {case.name for case in data.cases if case.label is not None}
        names = sorted(set(getattr(splits[data.name], side)) & there - set(splits[data.name].test))
        found.append(Queue(data, [str(name) for name in np.random.default_rng(seed).permutation(names)], share))
    return found


def _fill(output: Path, queues: Sequence[Queue], budget: int) -> dict[str, list[str]]:
    """Pack a case of the set that has the least of its share so far, until none fits any more."""
    packed: dict[str, list[str]] = {queue.data.name: [] for queue in queues}
    used = dict.fromkeys(packed, 0)
    for queue in _by_turns(queues, used):
        name = queue.names.pop()
        folder = output / "data" / queue.data.name / name
        size = _pack_case(queue.data[name], folder)
        if sum(used.values()) + size > budget:
            shutil.rmtree(folder)
            continue
        used[queue.data.name] += size
        packed[queue.data.name].append(name)
    return packed


def _by_turns(queues: Sequence[Queue], used: Mapping[str, int]) -> Iterator[Queue]:
    while left := [queue for queue in queues if queue.names]:
        yield min(left, key=lambda queue: used[queue.data.name] / queue.share)


def _pack_case(case: Case, folder: Path) -> int:
    """A case's first channel and its label map, as files of its folder; their size in bytes."""
    volume, labels = case.read(), case.read_labels()
    folder.mkdir(parents=True)
    steps, slope, intercept = quantized(volume.array)
    image = nibabel.Nifti1Image(steps, volume.grid.affine)
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, folder / "image.nii.gz")
    kind = np.uint8 if labels.array.max() < 256 else np.int16
    nibabel.save(nibabel.Nifti1Image(labels.array.astype(kind), volume.grid.affine), folder / "label.nii.gz")
    return _size(folder)


def _as(value: Any, kind: torch.dtype) -> Any:
    """Tensors of numbers with a fraction in another precision; counts and everything else as they are."""
    return value.to(kind) if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim else value


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
