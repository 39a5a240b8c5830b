"""Samples of labeled cases: prepared once as a family wants them, then drawn by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from inference_core import __version__
from inference_core.errors import VolumeError
from inference_core.training.config import TrainConfig
from inference_core.training.data.cache import PreprocessingCache
from inference_core.training.data.cases import Case
from inference_core.training.pools import Pool, draw_case
from inference_core.training.recent import Recent
from inference_core.training.recipe import Prepared

Drawn = dict[str, Any]
"""One sample: "image" and "target", and what else the family's step reads, as arrays or tensors."""
Prepare = Callable[[Case], Prepared]
Draw = Callable[[Prepared, np.random.Generator], Drawn | None]

_TRIES = 200
_KEPT = 32


def cache_folder(config: TrainConfig) -> Path:
    """Where a run keeps prepared cases."""
    return config.cache or config.output / "cache"


@dataclass(frozen=True)
class PreparedStore:
    """Where prepared cases are kept between runs, their arrays' names, and all but the case that these depend on."""

    folder: Path
    names: tuple[str, ...]
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, config: TrainConfig, recipe: str, names: Sequence[str], **parameters: Any) -> PreparedStore:
        """In the folder that a run is told of, else in its own."""
        return cls(cache_folder(config), tuple(names), {"recipe": recipe, "version": __version__, **parameters})

    def prepared(self, case: Case, prepare: Prepare) -> Prepared:
        """What `prepare` makes of a case, or made of it before.

        Raises:
            VolumeError: the case cannot be read.
            OutputError: the folder cannot be made.
        """
        files = (*case.images, *([] if case.label is None else [case.label]))
        of_case = {"series": case.series_uid, "segments": case.segments, "value": case.value}
        cache = PreprocessingCache(self.folder)
        return cache.get_arrays(files, {**self.parameters, **of_case}, self.names, lambda: prepare(case))


class CaseSamples:
    """Sample n: a case at random, and of it what `draw` makes; None there draws another case.

    `store` keeps what `prepare` makes between runs.

    Raises (on access):
        VolumeError: a case cannot be read, or no case has anything to draw.
    """

    def __init__(
        self, pools: Sequence[Pool], prepare: Prepare, draw: Draw, *, seed: int, store: PreparedStore | None = None
    ) -> None:
        self.pools, self.prepare, self.draw, self.seed, self.store = pools, prepare, draw, seed, store
        self._recent = Recent(self._prepared, count=_KEPT)

    def __getitem__(self, number: int) -> Drawn:
        if get_worker_info():
            torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, number])
        for _ in range(_TRIES):
            drawn = self.draw(self._recent.of(draw_case(self.pools, rng)), rng)
            if drawn is not None:
                return {**{name: _tensor(value) for name, value in drawn.items()}, "number": number}
        raise no_target()

    def _prepared(self, case: Case) -> Prepared:
        return self.store.prepared(case, self.prepare) if self.store else self.prepare(case)


def no_target() -> VolumeError:
    """What is said where no case can be drawn from."""
    return VolumeError("No case has a target of the classes asked for; check the labels' values (--classes).")


def values_of(labels: NDArray[Any], wanted: Sequence[int], *, least: int = 1) -> NDArray[np.int64]:
    """The values above zero that a label map holds at least so often, of those wanted (all where empty)."""
    values, counts = np.unique(labels, return_counts=True)
    found = values[(values > 0) & (counts >= least)].astype(np.int64)
    return found if not wanted else np.intersect1d(found, np.asarray(wanted, dtype=np.int64))


def mirrored(arrays: Sequence[NDArray[Any]], rng: np.random.Generator, *, chance: float = 0.5) -> list[NDArray[Any]]:
    """Arrays of one shape, all mirrored along the same axes, each axis with a chance."""
    axes = tuple(axis for axis in range(arrays[0].ndim) if rng.random() < chance)
    return [np.flip(array, axes) for array in arrays]


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
