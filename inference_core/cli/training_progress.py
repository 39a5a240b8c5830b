"""A training run as a terminal shows it: one bar with the time left, the loss and the Dice."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from inference_core.training.config import TrainConfig
from inference_core.training.progress import Progress, Reporter


def reporter_for(stream: TextIO) -> Reporter:
    """A bar where the stream is a terminal and rich is installed; lines elsewhere."""
    if stream.isatty():
        try:
            import rich  # noqa: F401
        except ImportError:
            return Reporter()
        return BarReporter()
    return Reporter()


class BarReporter(Reporter):
    """Shows rich's bar on stderr."""

    @contextmanager
    def running(self, progress: Progress, config: TrainConfig) -> Iterator[None]:
        """While steps are made."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        told = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        with super().running(progress, config), Bar(*told, console=Console(file=sys.stderr)) as bar:
            self._bar = bar
            self._task = bar.add_task("training", total=1.0, left="")
            yield

    def stepped(self, line: Mapping[str, Any]) -> None:
        """After a step."""
        config, progress = self._config, self._progress
        left = progress.minutes_left(config)
        spent = progress.minutes / config.minutes if config.minutes else line["step"] / config.steps
        self._bar.update(
            self._task,
            completed=min(1.0, spent),
            description=f"step {line['step']}  loss {line['loss']:.3f}  Dice {line['dice_first']:.2f} -> "
            f"{line['dice_last']:.2f}",
            left="" if left is None else f"{left:.0f} min left",
        )
