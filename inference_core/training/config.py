"""What a training run is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, data mixture and optimizer of one run.

    `stages` are (share of the budget, window size in voxels, batch); small windows first, since they train faster and
    the network is convolutional. Shares of the kinds of sample: `labeled` (tumors), `organ_share` (where `organs` are
    given), `inserted` (an artificial lesion in real tissue), the rest synthetic. `quality_only` trains nothing but the
    estimate of a mask's IoU, at a third of the cost: the choice among a first click's scales rests on it. `bfloat16`
    computes in that precision (the weights stay float32): a step takes two thirds of the time on processors that have
    it (AVX512-BF16, AMX).
    """

    minutes: float
    output: Path
    sarcoma: Path | None = None
    organs: Path | None = None
    start_from: Path | None = None
    stages: tuple[tuple[float, int, int], ...] = ((0.3, 32, 8), (0.45, 48, 6), (0.25, 64, 4))
    labeled: float = 0.45
    organ_share: float = 0.15
    inserted: float = 0.15
    box_share: float = 0.3
    quality_only: bool = False
    bfloat16: bool = False
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    workers: int = 1
    seed: int = 0
