"""An endless row of training windows, each seeded by its number alone: a run that stops goes on with the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from inference_core.training.config import TrainingConfig
from inference_core.training.labeled import LabeledVolume, augmented, background_window, labeled_sample
from inference_core.training.regions import region_sample
from inference_core.training.sources import TrainingSources
from inference_core.training.synthetic import Sample, lesion_into, synthetic_sample
from inference_core.training.tiny import lesion_in_limb, tiny_lesion_into


class TrainingWindows(Dataset[tuple[Tensor, Tensor, float]]):
    """Number n is (image float32 (D, H, W), target bool (D, H, W), the whole target's size in window voxels)."""

    def __init__(self, config: TrainingConfig, sources: TrainingSources, *, size: int) -> None:
        self.config, self.sources, self.size = config, sources, size

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, float]:
        rng = np.random.default_rng([self.config.seed, self.size, number])
        if get_worker_info():
            torch.set_num_threads(1)
        sample = self._draw(rng)
        flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
        image, target = np.flip(sample.image, flips), np.flip(sample.target, flips)
        return torch.from_numpy(image.copy()), torch.from_numpy(target.copy()), sample.whole

    def _draw(self, rng: np.random.Generator) -> Sample:
        kind, tissue = rng.random(), self.sources.pools
        for pool in tissue:
            if kind < pool.share:
                sample = labeled_sample(rng, pool.cases, self.size)
                return replace(sample, image=augmented(rng, sample.image))
            kind -= pool.share
        for share, make in self._made() if tissue else ():
            if kind < share:
                return make(rng)
            kind -= share
        return lesion_in_limb(rng, self.size) if kind < self.config.limb else synthetic_sample(rng, self.size)

    def _made(self) -> tuple[tuple[float, Callable[[np.random.Generator], Sample]], ...]:
        """The kinds of target that are made in real tissue, with their shares."""
        config = self.config
        return (config.regions, self._region), (config.inserted, self._inserted), (config.tiny, self._tiny)

    def _region(self, rng: np.random.Generator) -> Sample:
        sample = region_sample(rng, lambda: self._background(rng))
        return replace(sample, image=augmented(rng, sample.image))

    def _inserted(self, rng: np.random.Generator) -> Sample:
        return lesion_into(rng, augmented(rng, self._background(rng)))

    def _tiny(self, rng: np.random.Generator) -> Sample:
        return tiny_lesion_into(rng, augmented(rng, self._background(rng)))

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Real tissue of any source, each source as often."""
        cases: tuple[LabeledVolume, ...] = self.sources.pools[int(rng.integers(len(self.sources.pools)))].cases
        return background_window(rng, cases, self.size)
