"""A family at full size on a device: seconds to the first and the further answers and peak memory, in both precisions.

Weights are random (the time does not depend on them) in files as the authors write them; SAM3D lite has its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from inference_core.benchmark.opening import write_files
from inference_core.benchmark.timing import clicks_in_sessions, peak_memory_bytes, restart_peak, synthetic_ct
from inference_core.engine.automatic import segment_automatically
from inference_core.engine.device import memory_errors_as_device_error
from inference_core.errors import SAM3DError
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Model, promptable
from inference_core.models.registry import DEFAULT_MODEL, build_model, get_spec
from inference_core.models.store import require_installed

FAMILIES = (
    "sam3d_lite", "sam_med3d", "sam", "medical_sam_adapter", "medical_sam_adapter_3d", "sam3d_adapter", "ma_sam",
)  # fmt: skip
# What a CPU does in a minute or two.
LIGHT = ("sam3d_lite", "sam_med3d")
_SLICES, _REPEATS = 100, 3


def measured(model: str, device: str, *, repeats: int = _REPEATS) -> dict[str, Any]:
    """What a model costs on a device in float32 and bfloat16; where one cannot be measured, why."""
    volume, found = synthetic_ct(_SLICES), {}
    with tempfile.TemporaryDirectory() as folder:
        weights, base = _files(model, Path(folder))
        for precision in ("float32", "bfloat16"):
            began = time.monotonic()
            try:
                with memory_errors_as_device_error(device):
                    built = build_model(model, weights=weights, device=device, base=base, precision=precision)
                opened = time.monotonic() - began
                found[precision] = {"opening_s": opened, **costs(built, volume, repeats=repeats)}
            except SAM3DError as error:
                found[precision] = {"error": str(error)}
    return found


def _files(model: str, folder: Path) -> tuple[Path, Path | None]:
    """A model's weights and those of its base, written into a folder unless they are installed."""
    if model == DEFAULT_MODEL:
        return require_installed(get_spec(model)), None
    write_files("file", model=model, folder=folder)
    base = folder / "base.pth"
    return folder / "weights.pth", base if base.is_file() else None


def costs(model: Model, volume: Volume, *, repeats: int) -> dict[str, Any]:
    """The first session warms the device up: it is told apart, since it loads kernels and plans."""
    if model.spec.automatic:
        _stack_seconds(model, volume)
        _restart_peak(model.device)
        return {"stack_s": [_stack_seconds(model, volume) for _ in range(repeats)], **_peak(model.device)}
    cold, _ = clicks_in_sessions(volume, promptable(model), repeats=1)
    _restart_peak(model.device)
    first, further = clicks_in_sessions(volume, promptable(model), repeats=repeats)
    return {
        "cold_first_s": cold.worst,
        "first_s": first.as_json(),
        "further_s": further.as_json(),
        **_peak(model.device),
    }


def _stack_seconds(model: Model, volume: Volume) -> float:
    """Of an automatic model: a slice's answer over the stacks that it takes."""
    middle = volume.grid.shape[2] // 2
    found = segment_automatically(volume, model, slices=(middle, middle))
    return found.seconds / found.stacks


def _restart_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    restart_peak()


def _peak(device: str) -> dict[str, int | None]:
    card = {"card_peak_bytes": torch.cuda.max_memory_allocated()} if device == "cuda" else {}
    return {**card, "process_peak_bytes": peak_memory_bytes()}
