"""How far two masks of one target agree, and where they do not: two models, two boundaries, two readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.measures.measurements import volume_ml

_KINDS = ((1.0, "the same"), (0.95, "nearly the same"), (0.85, "much alike"), (0.7, "alike but for the border"))


@dataclass(frozen=True, eq=False)
class Agreement:
    """The voxels of both masks, and of each alone, on one grid; their volumes in ml; Dice (1 where both are empty)."""

    both: Mask
    only_a: Mask
    only_b: Mask
    ml_both: float
    ml_only_a: float
    ml_only_b: float
    dice: float

    def as_json(self) -> dict[str, Any]:
        """The numbers with their units."""
        numbers = {"both": self.ml_both, "only_a": self.ml_only_a, "only_b": self.ml_only_b}
        return {"dice": self.dice} | {name: {"value": ml, "unit": "ml"} for name, ml in numbers.items()}

    @property
    def kind(self) -> str:
        """What Dice says, in words: one of "the same", "nearly the same", "much alike", "alike but for the border"
        and "different".
        """
        return next((words for least, words in _KINDS if self.dice >= least), "different")

    def sentence(self) -> str:
        """Dice, and what it comes from, in words."""
        return (
            f"Dice {self.dice:.2f}, {self.kind}: {self.ml_only_a:.2f} ml only in A, "
            f"{self.ml_only_b:.2f} ml only in B, {self.ml_both:.2f} ml in both."
        )


def agreement(a: Mask, b: Mask, grid: Grid) -> Agreement:
    """Compare two masks on a grid's voxels; they may reach beyond it."""
    only_a, only_b = a.minus(b), b.minus(a)
    both = a.minus(only_a)
    total = a.voxel_count + b.voxel_count
    dice = 2 * both.voxel_count / total if total else 1.0
    ml_both, ml_only_a, ml_only_b = (volume_ml(mask, grid) for mask in (both, only_a, only_b))
    return Agreement(both, only_a, only_b, ml_both, ml_only_a, ml_only_b, dice)
