"""A simulated user during training: the first click or box, then clicks on the largest error.

Errors are looked for at half resolution, where a distance transform is eight times cheaper.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage as ndi
from torch import Tensor

from inference_core.models.sam3d_lite.prompt_maps import DensePrompts, bounded_prior, draw_boxes

Mask = NDArray[np.bool_]


class SimulatedUser:
    """Holds the prompts of one batch of targets (B, D, H, W) and adds to them as masks come back."""

    def __init__(self, targets: Tensor, *, box_share: float, rng: np.random.Generator) -> None:
        self.targets, self.rng = targets, rng
        self.half = tuple(n // 2 for n in targets.shape[1:])
        self.small = _halved(targets.float()).numpy() > 0.5
        self.points: list[list[tuple[float, ...]]] = [[] for _ in targets]
        self.labels: list[list[int]] = [[] for _ in targets]
        self.boxes = [self._first_prompt(index, boxed=rng.random() < box_share) for index in range(len(targets))]
        self.prior = torch.zeros(len(targets), 1, *self.half)

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
        return DensePrompts(points, labels, box, center, self.prior)

    def see(self, logits: Tensor) -> None:
        """Look at the masks (B, 1, D, H, W) and click into the largest error of each."""
        self.prior = bounded_prior(logits.detach())
        masks = _halved((logits[:, 0] > 0).float()).numpy() > 0.5
        for index, mask in enumerate(masks):
            missed, spilled = self.small[index] & ~mask, mask & ~self.small[index]
            found = max((_largest(missed), 1), (_largest(spilled), 0), key=lambda pair: pair[0].sum())
            if found[0].any():
                self._place(index, found[0], label=found[1], depth_share=0.75)

    def _first_prompt(self, index: int, *, boxed: bool) -> Tensor:
        if not boxed or self.rng.random() < 0.3:
            small = self.small[index]
            depth_share = 0.8 if self.rng.random() < 0.7 else 0.3
            self._place(index, small if small.any() else self._any_cell(index), label=1, depth_share=depth_share)
        return self._loose_box(index) if boxed else torch.zeros(0, 8, 3)

    def _any_cell(self, index: int) -> Mask:
        cells = np.zeros(self.half, dtype=bool)
        cells[tuple(np.argwhere(self.targets[index].numpy())[0] // 2)] = True
        return cells

    def _place(self, index: int, region: Mask, *, label: int, depth_share: float) -> None:
        corner, part = _cropped(region)
        depth = ndi.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1, 1:-1]
        candidates = np.argwhere(depth >= depth_share * depth.max())
        cell = candidates[self.rng.integers(len(candidates))] + corner
        self.points[index].append(tuple(float(v) for v in 2 * cell + self.rng.uniform(0, 1, 3)))
        self.labels[index].append(label)

    def _loose_box(self, index: int) -> Tensor:
        voxels = np.argwhere(self.targets[index].numpy())
        low, high = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
        slack = np.maximum(1, self.rng.uniform(0.02, 0.3) * (high - low))
        low = low - self.rng.uniform(-0.2, 1, 3) * slack
        high = np.maximum(low + 1, high + self.rng.uniform(-0.2, 1, 3) * slack)
        corners = [[(high if (n >> axis) & 1 else low)[axis] for axis in range(3)] for n in range(8)]
        return torch.tensor(np.array(corners)[None], dtype=torch.float32)


def _halved(maps: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool3d(maps[:, None], 2)[:, 0]


def _cropped(region: Mask) -> tuple[NDArray[np.int64], Mask]:
    voxels = np.argwhere(region)
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    return low, region[low[0] : high[0], low[1] : high[1], low[2] : high[2]]


def _largest(region: Mask) -> Mask:
    parts, count = ndi.label(region)
    if count < 2:
        return region
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
