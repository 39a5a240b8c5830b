"""What a training run is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inference_core.training.interaction import Habits

USUAL_HABITS = Habits(box=0.28, foreign=0.15, line=0.12, scribble=0.06, lasso=0.06, drawn_correction=0.15)


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, data mixture and optimizer of one run.

    The budget is `steps`, or `minutes`; one of them is given. `stages` are (share of the budget, window size in voxels,
    batch); small windows first, since they train faster and the network is convolutional. `start_from` takes over
    weights alone, `resume` all of a run that stopped: the state beside `output`.

    Shares of the kinds of sample: `labeled` (the sarcomas), `lesion_share`, `organ_share` and `coarse_share` (of the
    folders given), `regions` (of real images), `inserted` (an artificial lesion in real tissue), `tiny` (one of a few
    voxels), `limb` (a procedural one), the rest synthetic. `habits` are the simulated user's. Weights are kept where
    they are the best yet on `measured_windows` windows of cases that are not trained on.

    `quality_only` trains nothing but the estimate of a mask's IoU, at a third of the cost: the choice among a first
    click's scales rests on it. `bfloat16` computes in that precision (the weights stay float32): a step takes two
    thirds of the time on processors that have it (AVX512-BF16, AMX).
    """

    output: Path
    minutes: float | None = None
    steps: int | None = None
    sarcoma: Path | None = None
    lesions: Path | None = None
    organs: Path | None = None
    coarse_organs: Path | None = None
    start_from: Path | None = None
    resume: bool = False
    stages: tuple[tuple[float, int, int], ...] = ((0.3, 32, 8), (0.45, 48, 6), (0.25, 64, 4))
    labeled: float = 0.3
    lesion_share: float = 0.05
    organ_share: float = 0.12
    coarse_share: float = 0.08
    regions: float = 0.25
    inserted: float = 0.08
    tiny: float = 0.06
    limb: float = 0.04
    habits: Habits = USUAL_HABITS
    quality_only: bool = False
    bfloat16: bool = False
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    measured_windows: int = 48
    measured_size: int = 48
    workers: int = 1
    seed: int = 0
