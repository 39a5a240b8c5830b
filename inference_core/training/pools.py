"""Cases to draw from, set by set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference_core.training.data.cases import Case


@dataclass(frozen=True)
class Pool:
    """The cases of one data set, and how often they are drawn from in proportion to the other sets'."""

    share: float
    cases: tuple[Case, ...]


def draw_case(pools: Sequence[Pool], rng: np.random.Generator) -> Case:
    """A set by its share, and a case of it."""
    shares = np.array([pool.share for pool in pools], dtype=np.float64)
    pool = pools[int(rng.choice(len(pools), p=shares / shares.sum()))]
    return pool.cases[int(rng.integers(len(pool.cases)))]
