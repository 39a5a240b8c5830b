"""Clicks of simulated users who choose a place at random: on the target at first, then on errors.

Legend: N slices or windows, H W a slice's rows and columns. A click's label is 1, 0, or -1 for none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_NONE = -1


def first_click(labels: NDArray[np.integer], rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
    """A pixel (2,) of a slice's labels (H, W) that is above zero, and its value; anywhere, and 0, where none is.

    So a class is drawn in proportion to its area.
    """
    held = np.argwhere(labels > 0)
    if len(held) == 0:
        return rng.integers(np.array(labels.shape)).astype(np.float32), 0
    chosen = held[int(rng.integers(len(held)))]
    return chosen.astype(np.float32), int(labels[tuple(chosen)])


@torch.no_grad()
def clicks_on_errors(masks: Tensor, truth: Tensor, rngs: Sequence[np.random.Generator]) -> tuple[Tensor, Tensor]:
    """A place in each that is wrong, (N, 2) or (N, 3), and what it should be, (N,); masks and truth (N, ...) are bool.

    Where nothing is wrong it is a place in the target, and where there is none of that either, no click.
    """
    points, labels = [], []
    for wrong, inside, rng in zip(masks ^ truth, truth, rngs, strict=True):
        cells = torch.nonzero(wrong if wrong.any() else inside)
        if len(cells) == 0:
            points.append(cells.new_zeros(inside.ndim))
            labels.append(_NONE)
            continue
        cell = cells[int(rng.integers(len(cells)))]
        points.append(cell)
        labels.append(int(inside[tuple(cell.tolist())]))
    return torch.stack(points).float(), torch.tensor(labels, device=truth.device)
