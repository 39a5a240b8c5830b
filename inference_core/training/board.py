"""A run's curves for TensorBoard, in the run's folder `tensorboard`, where that program is installed; else nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_NAMES = {
    "loss": "training/loss", "rate": "training/learning rate", "dice_first": "training/Dice, first prompt",
    "dice_last": "training/Dice, last prompt", "validation_dice": "kept back/Dice", "best": "kept back/best Dice",
}  # fmt: skip


class Board:
    """Writes the log's lines as curves. Of a run that goes on, what was written after its newest state is purged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.purged_from: int | None = None
        self._writer: Any = None
        self._there = True

    def resume(self, step: int) -> None:
        """Forget what comes after a step."""
        self.purged_from = step + 1

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line of the log. A disk that refuses it ends the curves, not the training."""
        try:
            if self._there and self._open():
                for name, title in _NAMES.items():
                    if name in line:
                        self._writer.add_scalar(title, line[name], line["step"])
        except OSError as error:
            self._there = False
            _log.warning("TensorBoard's curves end here (%s); training goes on without them.", error)

    def close(self) -> None:
        """Write what is still held back."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> bool:
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._there = False
                return False
            self._writer = SummaryWriter(str(self.folder), purge_step=self.purged_from)
        return True
