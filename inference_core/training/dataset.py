"""An endless stream of training windows, each seeded by its worker and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from inference_core.training.config import TrainingConfig
from inference_core.training.labeled import LabeledVolume, augmented, background_window, labeled_sample
from inference_core.training.synthetic import Sample, lesion_into, synthetic_sample


class TrainingWindows(IterableDataset[tuple[Tensor, Tensor, float]]):
    """Yields (image float32 (D, H, W), target bool (D, H, W), the whole target's size in window voxels)."""

    def __init__(
        self,
        config: TrainingConfig,
        volumes: Sequence[LabeledVolume],
        organs: Sequence[LabeledVolume] = (),
        *,
        size: int,
    ) -> None:
        self.config, self.volumes, self.organs, self.size = config, volumes, organs, size

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
        config, kind = self.config, rng.random()
        for share, volumes in ((config.labeled, self.volumes), (config.organ_share, self.organs)):
            if volumes and kind < share:
                sample = labeled_sample(rng, volumes, self.size)
                return replace(sample, image=augmented(rng, sample.image))
            kind -= share if volumes else 0.0
        tissue = [volumes for volumes in (self.volumes, self.organs) if volumes]
        if tissue and kind < config.inserted:
            volumes = tissue[int(rng.integers(len(tissue)))]
            return lesion_into(rng, augmented(rng, background_window(rng, volumes, self.size)))
        return synthetic_sample(rng, self.size)
