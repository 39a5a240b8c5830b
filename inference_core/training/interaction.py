"""A simulated user during training: a first click or box, or a mask made elsewhere, then clicks on the largest error.

Errors are looked for at half resolution, where a distance transform is eight times cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_core.geometry.grid import Float
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.pieces import largest_piece
from inference_core.models.sam3d_lite.prompt_maps import DensePrompts, bounded_prior, draw_boxes
from inference_core.models.sam3d_lite.stroke_maps import (
    BALL,
    LASSO,
    LASSO_BACKGROUND,
    LINE,
    SCRIBBLE,
    SCRIBBLE_BACKGROUND,
    STROKE_CHANNELS,
    line_maps,
    path_cells,
    stamped,
)
from inference_core.prompts.strokes import Line, Scribble, stroke_points
from inference_core.training.clicking import clicked_cell, slip
from inference_core.training.drawing import lasso_around, line_across, scribble_through
from inference_core.training.foreign_masks import foreign_mask

Mask = NDArray[np.bool_]
_PRIOR_LOGIT = 4.0
# A target of fewer cells at half resolution is looked at by any voxel of a cell, not by most of them.
_FEW_CELLS = 4


@dataclass(frozen=True)
class Habits:
    """How often a sample starts otherwise than with a click, and a correction is drawn rather than clicked.

    Args:
        box: share of samples that start with a box
        foreign: share that start from another tool's mask
        line: share that start with a line across the target
        scribble: share that start with a scribble
        lasso: share that start with an outline in one slice
        drawn_correction: share of corrections that are drawn
    """

    box: float = 0.3
    foreign: float = 0.0
    line: float = 0.0
    scribble: float = 0.0
    lasso: float = 0.0
    drawn_correction: float = 0.0


class SimulatedUser:
    """Holds the prompts of one batch of targets (B, D, H, W) and adds to them as masks come back.

    `rngs` are one a target, so that what is done to one does not depend on the others.
    """

    def __init__(self, targets: Tensor, *, habits: Habits, rngs: Sequence[np.random.Generator]) -> None:
        self.device = targets.device
        targets = targets.cpu()
        self.targets, self.rngs = targets.numpy(), rngs
        self.half = tuple(n // 2 for n in targets.shape[1:])
        share = _halved(targets.float()).numpy()
        self.tiny = [bool((cells > 0.5).sum() < _FEW_CELLS) for cells in share]
        self.small = [cells > (0 if tiny else 0.5) for cells, tiny in zip(share, self.tiny, strict=True)]
        self.points: list[list[tuple[float, ...]]] = [[] for _ in targets]
        self.labels: list[list[int]] = [[] for _ in targets]
        self.boxes = [torch.zeros(0, 8, 3) for _ in targets]
        self.prior = torch.zeros(len(targets), 1, *self.half)
        self.strokes = torch.zeros(len(targets), STROKE_CHANNELS, *self.half)
        self.habits = habits
        for index in range(len(targets)):
            self._begin(index)

    def prompts(self) -> DensePrompts:
        """The prompts so far as padded tensors."""
        count = max(1, *(len(points) for points in self.points))
        points = torch.zeros(len(self.points), count, 3)
        labels = torch.full((len(self.points), count), -1, dtype=torch.long)
        for index, placed in enumerate(self.points):
            if placed:
                points[index, : len(placed)] = torch.tensor(placed)
                labels[index, : len(placed)] = torch.tensor(self.labels[index])
        drawn = [draw_boxes(box, self.half) for box in self.boxes]
        box = torch.stack([map_ for map_, _ in drawn])[:, None]
        center = torch.stack([middle for _, middle in drawn])[:, None]
        told = (points, labels, box, center, self.prior, self.strokes.clone())
        return DensePrompts(*(part.to(self.device) for part in told))

    def see(self, logits: Tensor) -> None:
        """Look at the masks (B, 1, D, H, W) and click into the largest error of each."""
        logits = logits.detach().cpu()
        self.prior = bounded_prior(logits)
        share = _halved((logits[:, 0] > 0).float()).numpy()
        for index, cells in enumerate(share):
            self._correct(index, cells > (0 if self.tiny[index] else 0.5))

    def _begin(self, index: int) -> None:
        habits, region = self.habits, self.small[index]
        shares = (habits.foreign, habits.line, habits.scribble, habits.lasso, habits.box)
        bounds = np.cumsum(shares)
        kind = int(np.searchsorted(bounds, self.rngs[index].random(), side="right"))
        if self.tiny[index] and kind < 4:
            kind = len(shares)
        if kind == 0:
            self._start_from_foreign_mask(index)
        elif kind == 1:
            self._line(index)
        elif kind == 2:
            self._scribble(index, region, label=1)
        elif kind == 3:
            self._lasso(index, region, clicked_cell(self.rngs[index], region))
        elif kind == 4:
            self.boxes[index] = _box_around(self.rngs[index], self.targets[index])
        if kind == 5 or (kind == 4 and self.rngs[index].random() < 0.3):
            self._place(index, region, label=1)

    def _start_from_foreign_mask(self, index: int) -> None:
        mask = foreign_mask(self.rngs[index], self.targets[index])
        logits = torch.from_numpy(_PRIOR_LOGIT * (2 * mask.astype(np.float32) - 1))
        self.prior[index] = bounded_prior(logits[None, None])[0]
        self._correct(index, _halved(torch.from_numpy(mask)[None].float())[0].numpy() > 0.5)

    def _correct(self, index: int, mask: Mask) -> None:
        missed, spilled = self.small[index] & ~mask, mask & ~self.small[index]
        found = max((largest_piece(missed), 1), (largest_piece(spilled), 0), key=lambda pair: pair[0].sum())
        if not found[0].any():
            return
        if self.tiny[index] or self.rngs[index].random() >= self.habits.drawn_correction:
            self._place(index, found[0], label=found[1])
        elif self.rngs[index].random() < 0.7:
            self._scribble(index, found[0], label=found[1])
        else:
            self._lasso(
                index,
                self.small[index] if found[1] else found[0],
                clicked_cell(self.rngs[index], found[0]),
                label=found[1],
            )

    def _line(self, index: int) -> None:
        ends = line_across(self.rngs[index], self.targets[index])
        self.strokes[index, LINE : BALL + 1] = torch.from_numpy(line_maps(ends, self.half))
        self._tell(index, stroke_points(Line, ends), label=1)

    def _scribble(self, index: int, region: Mask, *, label: int) -> None:
        cells = scribble_through(self.rngs[index], region)
        path = np.asarray(2 * cells + 0.5, dtype=np.float64)
        channel = SCRIBBLE if label else SCRIBBLE_BACKGROUND
        stamp = torch.from_numpy(stamped(path_cells(path, self.half)))
        self.strokes[index, channel] = torch.maximum(self.strokes[index, channel], stamp)
        self._tell(index, stroke_points(Scribble, path), label=label)

    def _lasso(self, index: int, region: Mask, through: NDArray[np.int64], *, label: int = 1) -> None:
        drawn, deepest = lasso_around(self.rngs[index], region, through)
        lasso = torch.from_numpy(drawn)
        if label:
            earlier = self.strokes[index, LASSO]
            self.strokes[index, LASSO] = torch.where((lasso != 0) & (earlier <= 0), lasso, earlier)
        else:
            self.strokes[index, LASSO_BACKGROUND] = self.strokes[index, LASSO_BACKGROUND].maximum(lasso)
        self._tell(index, np.asarray(2 * deepest[None] + 0.5, dtype=np.float64), label=label)

    def _tell(self, index: int, points: Float, *, label: int) -> None:
        """Add the points (n, 3) that stand for a stroke."""
        self.points[index] += [tuple(float(v) for v in point) for point in points]
        self.labels[index] += [label] * len(points)

    def _place(self, index: int, region: Mask, *, label: int) -> None:
        cell = 2 * clicked_cell(self.rngs[index], region)
        point = cell + self.rngs[index].uniform(0, 1, 3)
        if self.tiny[index] and label:
            # In a cell that is met by few voxels the user clicks on one of those.
            block = self.targets[index][tuple(slice(c, c + 2) for c in cell)]
            voxels = np.argwhere(block)
            point = cell + voxels[self.rngs[index].integers(len(voxels))] + self.rngs[index].uniform(-0.4, 0.4, 3)
        point = np.clip(point + slip(self.rngs[index]), 0, np.asarray(self.targets[index].shape) - 1)
        self.points[index].append(tuple(float(v) for v in point))
        self.labels[index].append(label)


def _box_around(rng: np.random.Generator, target: Mask) -> Tensor:
    """The corners (1, 8, 3) of a box about a target: a third of them tight, the others up to 30 % loose on a side.

    Half the loose ones are so on all sides alike.
    """
    held = VoxelBox.over(target)
    assert held is not None, "targets hold something"
    low, high = held.start - 0.5, held.stop - 0.5
    edge = high - low
    most = rng.uniform(0.0, 0.05) if rng.random() < 1 / 3 else rng.uniform(0.05, 0.3)
    least = 0.7 if rng.random() < 0.5 else -0.1
    low = low - rng.uniform(least, 1, 3) * most * edge
    high = np.maximum(low + 1, high + rng.uniform(least, 1, 3) * most * edge)
    corners = [[(high if (n >> axis) & 1 else low)[axis] for axis in range(3)] for n in range(8)]
    return torch.tensor(np.array(corners)[None], dtype=torch.float32)


def _halved(maps: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool3d(maps[:, None], 2)[:, 0]
