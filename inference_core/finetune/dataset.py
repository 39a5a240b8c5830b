"""An endless stream of training windows, each seeded by its worker and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from inference_core.finetune.config import TrainingConfig
from inference_core.finetune.labelled import LabelledVolume, augmented, background_window, labelled_sample
from inference_core.finetune.synthetic import Sample, lesion_into, synthetic_sample


class TrainingWindows(IterableDataset[tuple[Tensor, Tensor, float]]):
    """Yields (image float32 (D, H, W), target bool (D, H, W), the whole target's size in window voxels)."""

    def __init__(self, config: TrainingConfig, volumes: Sequence[LabelledVolume], *, size: int) -> None:
        self.config, self.volumes, self.size = config, volumes, size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.config.seed, self.size, worker.id if worker else 0])
        if worker:
            torch.set_num_threads(1)
        while True:
            sample = self._draw(rng)
            flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
            image, target = np.flip(sample.image, flips), np.flip(sample.target, flips)
            yield torch.from_numpy(image.copy()), torch.from_numpy(target.copy()), sample.whole

    def _draw(self, rng: np.random.Generator) -> Sample:
        kind = rng.random()
        if self.volumes and kind < self.config.labelled:
            sample = labelled_sample(rng, self.volumes, self.size)
            return replace(sample, image=augmented(rng, sample.image))
        if self.volumes and kind < self.config.labelled + self.config.inserted:
            return lesion_into(rng, augmented(rng, background_window(rng, self.volumes, self.size)))
        return synthetic_sample(rng, self.size)
