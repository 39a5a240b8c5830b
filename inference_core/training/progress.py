"""Where a run stands, and how it is told: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inference_core.training.config import TrainConfig

log = logging.getLogger(__name__)
_KEPT = ("step", "validation_dice", "best")


@dataclass
class Progress:
    """`earlier_minutes` were spent before the run was last resumed; `best` is the best Dice on cases kept back."""

    step: int = 0
    samples: int = 0
    best: float | None = None
    earlier_minutes: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Progress:
        """What `plain` gave."""
        return cls(plain["step"], plain["samples"], plain["best"], plain["minutes"])

    def plain(self) -> dict[str, Any]:
        """As a state keeps it."""
        return {"step": self.step, "samples": self.samples, "best": self.best, "minutes": self.minutes}

    def begin(self) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    @property
    def minutes(self) -> float:
        """Time spent so far, with that before the run was resumed."""
        return self.earlier_minutes + (time.monotonic() - self.started) / 60

    def minutes_left(self, config: TrainConfig) -> float | None:
        """At this pace; None before there is one."""
        if config.minutes:
            return max(0.0, config.minutes - self.minutes)
        now = self.minutes - self.earlier_minutes
        if not self.step or now <= 0:
            return None
        return (config.steps - self.step) * self.minutes / self.step


class Reporter:
    """Logs a line now and then; the command line's own shows a bar."""

    every = 25

    def __init__(self) -> None:
        self._recent: list[tuple[float, float, float]] = []
        self._progress, self._config = Progress(), TrainConfig(output=None)  # type: ignore[arg-type]

    @contextmanager
    def running(self, progress: Progress, config: TrainConfig) -> Iterator[None]:
        """While steps are made."""
        self._progress, self._config = progress, config
        yield

    def stepped(self, line: Mapping[str, Any]) -> None:
        """After a step."""
        self._recent.append((line["loss"], line["dice_first"], line["dice_last"]))
        if line["step"] % self.every == 0:
            loss, first, last = np.mean(self._recent, axis=0)
            self._recent.clear()
            left = self._progress.minutes_left(self._config)
            ends = "" if left is None else f", {left:.0f} min left"
            log.info("step %d: loss %.3f, Dice %.3f -> %.3f%s", line["step"], loss, first, last, ends)

    def validated(self, line: Mapping[str, Any]) -> None:
        """After a look at the cases kept back."""
        log.info("step %d: Dice %.3f on the cases kept back (best %.3f)", *(line[name] for name in _KEPT))
