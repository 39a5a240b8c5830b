"""An endless row of windows for SAM3D lite, each seeded by its number alone: a run that stops goes on with the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.labeled import (
    ARRAYS,
    LabeledVolume,
    augmented,
    background_window,
    labeled_sample,
    prepared_targets,
    targets_from,
    targets_of,
)
from inference_core.training.pools import Pool, draw_case
from inference_core.training.recent import Recent
from inference_core.training.regions import region_sample
from inference_core.training.samples import PreparedStore, no_target
from inference_core.training.synthetic import Sample, lesion_into, synthetic_sample
from inference_core.training.tiny import lesion_in_limb, tiny_lesion_into

_KEPT = 48
_TRIES = 200


class Tissue:
    """Real images to cut windows from: the targets of a random case, the cases seen last kept in memory.

    Of more cases than are kept there, `store` keeps on disk what was made of each.
    """

    def __init__(
        self, pools: Sequence[Pool], *, classes: Sequence[int] = (), store: PreparedStore | None = None
    ) -> None:
        self.pools, self.classes = pools, classes
        self.store = store if sum(len(pool.cases) for pool in pools) > _KEPT else None
        self._recent = Recent(self._targets, count=_KEPT)

    def __bool__(self) -> bool:
        return bool(self.pools)

    def case(self, rng: np.random.Generator) -> tuple[LabeledVolume, ...]:
        """The targets, at least one, of a random case.

        Raises:
            VolumeError: no case has a target of the classes asked for.
        """
        for _ in range(_TRIES):
            targets = self._recent.of(draw_case(self.pools, rng))
            if targets:
                return targets
        raise no_target()

    def _targets(self, case: Case) -> tuple[LabeledVolume, ...]:
        if self.store is None:
            return targets_of(case, self.classes)
        prepared = self.store.prepared(case, lambda one: prepared_targets(one, self.classes))
        return targets_from(prepared, case.name)


def store_of(config: TrainConfig) -> PreparedStore:
    """Where a run keeps what it made of its cases."""
    return PreparedStore.of(config, "sam3d_lite", ARRAYS, classes=config.classes)


class TrainingWindows:
    """Sample n: image (D, H, W) float32, target bool, and the whole target's size in window voxels."""

    def __init__(self, mixture: LiteMixture, tissue: Tissue, *, size: int, seed: int) -> None:
        self.mixture, self.tissue, self.size, self.seed = mixture, tissue, size, seed

    def __getitem__(self, number: int) -> dict[str, Tensor | float | int]:
        rng = np.random.default_rng([self.seed, self.size, number])
        if get_worker_info():
            torch.set_num_threads(1)
        sample = self._draw(rng)
        flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
        image, target = np.flip(sample.image, flips), np.flip(sample.target, flips)
        return {
            "image": torch.from_numpy(image.copy()), "target": torch.from_numpy(target.copy()),
            "whole": float(sample.whole), "number": number,
        }  # fmt: skip

    def _draw(self, rng: np.random.Generator) -> Sample:
        kind = rng.random()
        for share, make in self._kinds():
            if kind < share:
                return make(rng)
            kind -= share
        return self._labeled(rng) if self.tissue else synthetic_sample(rng, self.size)

    def _kinds(self) -> list[tuple[float, Callable[[np.random.Generator], Sample]]]:
        """What is not a labeled target, with its shares; targets made in real tissue only where there is any."""
        mixture = self.mixture
        made: list[tuple[float, Callable[[np.random.Generator], Sample]]] = [
            (mixture.limb, lambda rng: lesion_in_limb(rng, self.size)),
            (mixture.synthetic, lambda rng: synthetic_sample(rng, self.size)),
        ]
        if self.tissue:
            made += [(mixture.regions, self._region), (mixture.inserted, self._inserted), (mixture.tiny, self._tiny)]
        return made

    def _labeled(self, rng: np.random.Generator) -> Sample:
        sample = labeled_sample(rng, self.tissue.case(rng), self.size)
        return replace(sample, image=augmented(rng, sample.image))

    def _region(self, rng: np.random.Generator) -> Sample:
        sample = region_sample(rng, lambda: self._background(rng))
        return replace(sample, image=augmented(rng, sample.image))

    def _inserted(self, rng: np.random.Generator) -> Sample:
        return lesion_into(rng, augmented(rng, self._background(rng)))

    def _tiny(self, rng: np.random.Generator) -> Sample:
        return tiny_lesion_into(rng, augmented(rng, self._background(rng)))

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Real tissue of any case."""
        return background_window(rng, self.tissue.case(rng), self.size)
