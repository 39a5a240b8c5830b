"""How long a click takes and how much memory the process needs, on a CT made in memory: no file is read."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from inference_core.engine.session import Session
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import PromptableModel
from inference_core.prompts.prompt_set import Click, PromptSet

_SPACING_MM = (0.8, 0.8, 1.0)
LESION_MM = 18.0
ORGAN_MM = 60.0
_TILE = 16
# The clicks that follow the first, in radii from the target's center: on its rim, and off it.
_FURTHER = (
    ((0, 0.78, 0), True), ((0, 0, -1.44), False), ((-0.72, 0, 0.17), True), ((1.33, 0.33, 0), False),
    ((0.28, -0.5, 0.5), True),
)  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Seconds of repeated measurements of one thing."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def worst(self) -> float:
        """The longest one."""
        return max(self.seconds)

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {"median": self.median, "worst": self.worst, "all": list(self.seconds)}


def synthetic_ct(slices: int, *, radius_mm: float = LESION_MM) -> Volume:
    """A CT of 512 x 512 x slices int16 voxels: a cylinder of noisy tissue with one bright ball in its middle."""
    rng = np.random.default_rng(0)
    shape = (512, 512, slices)
    affine = np.diag([*_SPACING_MM, 1.0])
    affine[:3, 3] = -np.asarray(_SPACING_MM) * (np.asarray(shape) - 1) / 2
    x, y = (np.ogrid[:512, :512][axis] * _SPACING_MM[axis] + affine[axis, 3] for axis in (0, 1))
    section = np.where((x / 170) ** 2 + (y / 120) ** 2 < 1, 50.0, -1000.0)
    tile = np.rint(section + rng.normal(scale=12, size=(_TILE, 512, 512))).astype(np.int16)
    stack = np.empty((slices, 512, 512), dtype=np.int16)
    for start in range(0, slices, _TILE):
        stack[start : start + _TILE] = tile[: min(_TILE, slices - start)]
    for k in range(slices):
        z = k * _SPACING_MM[2] + affine[2, 3]
        if abs(z) < radius_mm:
            stack[k][(x**2 + y**2 + z**2) < radius_mm**2] += 60
    return Volume(stack.T, Grid(shape, affine), f"synthetic CT of {slices} slices")


def first_clicks(volume: Volume, model: PromptableModel, *, repeats: int) -> Times:
    """Seconds to answer the first click, in a new session each time."""
    return Times(tuple(_seconds(Session(volume, model), _clicks(LESION_MM)[:1]) for _ in range(repeats)))


def clicks_in_sessions(
    volume: Volume, model: PromptableModel, *, repeats: int, radius_mm: float = LESION_MM
) -> tuple[Times, Times]:
    """Seconds to answer the first click, and each of the five clicks after it, in sessions of six."""
    sessions = [list(_session(volume, model, _clicks(radius_mm))) for _ in range(repeats)]
    first = Times(tuple(seconds[0] for seconds in sessions))
    return first, Times(tuple(each for seconds in sessions for each in seconds[1:]))


def peak_memory_bytes() -> int | None:
    """The most memory this program has had in use so far (resident set), or None where the system does not tell."""
    # What `resource` tells on Linux goes back to before this program was started, to what its parent had in use.
    peak = _of_status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(used if sys.platform == "darwin" else used * 1024)


def memory_in_use() -> int:
    """What this program has in memory now (resident set, bytes); 0 where the system does not tell."""
    return _of_status("VmRSS") or 0


def restart_peak() -> None:
    """Have `peak_memory_bytes` count from now on, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def machine_facts() -> dict[str, Any]:
    """What the seconds depend on."""
    import torch

    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _of_status(name: str) -> int | None:
    """A size (bytes) in what Linux tells of this process."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _clicks(radius_mm: float) -> tuple[Click, ...]:
    # Slightly off the middle, as a hand is.
    first = Click((2.0, -1.5, 1.0))
    return first, *(Click((r * radius_mm, a * radius_mm, s * radius_mm), positive) for (r, a, s), positive in _FURTHER)


def _session(volume: Volume, model: PromptableModel, clicks: tuple[Click, ...]) -> Iterator[float]:
    session = Session(volume, model)
    for count in range(1, len(clicks) + 1):
        yield _seconds(session, clicks[:count])


def _seconds(session: Session, clicks: tuple[Click, ...]) -> float:
    started = perf_counter()
    session.predict(PromptSet(clicks))
    return perf_counter() - started
