"""What a family brings to its training: the network, what of it moves, how it is prompted, how its file looks.

The loop (`trainer`) knows none of this. A new family is one file under `recipes` and one line in its `RECIPES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from inference_core.errors import OptionError
from inference_core.training.config import TrainConfig
from inference_core.training.pools import Pool
from inference_core.training.registry import RecipeEntry

Batch = dict[str, Tensor]
"""Samples side by side. "number" (B,) int64 is each sample's own, "image" and "target" are there for every family."""
Prepared = Mapping[str, NDArray[Any]]
"""A case as a family wants it, arrays by name: what is kept on disk between runs."""
Schedule = Callable[[int, int], float]
"""The factor of the learning rate at (step, steps in all)."""


@dataclass(frozen=True)
class Group:
    """Parameters whose names match a pattern: their share of the learning rate, and the norm their gradient is cut to.

    `clip` None leaves the gradient as it is.
    """

    pattern: str
    rate: float = 1.0
    clip: float | None = None


@dataclass(frozen=True)
class Plan:
    """How a paper trains: what `TrainConfig` takes where the user says nothing else."""

    learning_rate: float
    epochs: int
    batch: int
    schedule: Schedule
    optimizer: str = "AdamW"
    weight_decay: float = 0.0
    groups: tuple[Group, ...] = (Group(""),)
    ema: float = 0.0
    scopes: tuple[str, ...] = ("published",)
    clicks: int = 1


class Step(NamedTuple):
    """One pass over a batch: the loss to descend, the mean Dice after each prompt, and the last masks (B, 1, ...)."""

    loss: Tensor
    dice: tuple[float, ...]
    masks: Tensor


@dataclass(frozen=True, eq=False)
class Draws:
    """Where a step's random choices come from: one generator a sample, and one that all processes share in a step."""

    own: Sequence[np.random.Generator]
    shared: np.random.Generator


class SampleSource(Protocol):
    """An endless row of samples, each made from its number alone: a run that stops goes on with the same ones."""

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Sample `number`."""
        ...


@dataclass(frozen=True)
class Stage:
    """A share of the run on one kind of sample, so many at once."""

    share: float
    samples: SampleSource
    batch: int


class Recipe(Protocol):
    """How one family is trained."""

    plan: Plan

    @property
    def network(self) -> nn.Module:
        """All that is trained, and what it needs to be."""
        ...

    def stages(self, pools: Sequence[Pool], *, batch: int) -> Sequence[Stage]:
        """What to train on, in turn; the shares add up to 1."""
        ...

    def validation(self, pools: Sequence[Pool]) -> SampleSource:
        """What weights are chosen by: without augmentation."""
        ...

    def step(self, batch: Batch, draws: Draws) -> Step:
        """Prompt the network and compare; not the network's training mode, a fixed protocol to be judged by."""
        ...

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write the file that the family's own programs, and `--weights`, read; `weights` are of `network`."""
        ...


def build_recipe(entry: RecipeEntry, config: TrainConfig, classes: Mapping[int, str]) -> Recipe:
    """The recipe of a registered model, its network built and what is not trained frozen.

    Raises:
        CheckpointError: the weights to start from are missing or of another model.
        OptionError: the recipe has no such scope.
    """
    module, function = _parts(entry)
    made: Recipe = getattr(module, function)(config, classes, **entry.options)
    return made


def plan_of(entry: RecipeEntry) -> Plan:
    """How the paper of a registered model trains, without its network."""
    plan: Plan = _parts(entry)[0].PLAN
    return plan


def _parts(entry: RecipeEntry) -> tuple[Any, str]:
    """A recipe's module and the name of its builder there."""
    module, function = entry.builder.split(":")
    return import_module(module), function


def check_scope(scope: str, plan: Plan) -> str:
    """The scope asked for, or the published one.

    Raises:
        OptionError: the family has no such scope.
    """
    chosen = scope or plan.scopes[0]
    if chosen not in plan.scopes:
        raise OptionError(f"There is no scope '{scope}' for this model; choose one of {', '.join(plan.scopes)}.")
    return chosen


def constant(step: int, steps: int) -> float:
    """No schedule."""
    return 1.0


def warm_cosine(step: int, steps: int) -> float:
    """A linear start over 100 steps (a tenth of a shorter run), then a cosine down to a fiftieth."""
    warm = min(1.0, (step + 1) / min(100, max(1, steps // 10)))
    return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))))


def in_drops(*shares: float, factor: float = 0.1) -> Schedule:
    """A rate that falls by a factor at each of these shares of the run."""

    def at(step: int, steps: int) -> float:
        return float(factor ** sum(step >= share * steps for share in shares))

    return at


def linear_to(end: float) -> Schedule:
    """A straight line from 1 to `end`."""

    def at(step: int, steps: int) -> float:
        return 1 + (end - 1) * min(1.0, step / max(1, steps))

    return at
