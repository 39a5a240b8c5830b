"""How good a network is by the run's own measure: the same windows and the same simulated user every time.

Windows are cut from the cases set aside to choose weights by; where there is none they are procedural ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from inference_core.models.sam3d_lite.model import normalize
from inference_core.models.sam3d_lite.network import LiteNetwork
from inference_core.training.config import TrainingConfig
from inference_core.training.dataset import TrainingWindows
from inference_core.training.interaction import Habits, SimulatedUser
from inference_core.training.sources import TrainingSources

_OWN_SEED = 7_919
_CLICKS = 3
# Clicks and boxes are what most users give; drawn prompts would only add to the spread.
_HABITS = Habits(box=0.25)


class Measure:
    """Keeps `config.measured_windows` windows of a size, and scores networks on them."""

    def __init__(self, config: TrainingConfig, sources: TrainingSources, *, size: int) -> None:
        share = sum(pool.share for pool in sources.pools)
        pools = tuple(replace(pool, share=pool.share / share) for pool in sources.pools)
        windows = TrainingWindows(replace(config, seed=_OWN_SEED), TrainingSources(pools), size=size)
        self.windows = [windows[number] for number in range(config.measured_windows)]

    @torch.no_grad()
    def dice(self, network: LiteNetwork, weights: Mapping[str, Tensor]) -> float:
        """The mean Dice, over windows and over one to three prompts, of a network with other weights than its own."""
        judged = deepcopy(network).eval()
        judged.load_state_dict(dict(weights))
        rng = np.random.default_rng(_OWN_SEED)
        return float(np.mean([self._dice_of_one(judged, raw, target, rng) for raw, target, _ in self.windows]))

    def _dice_of_one(self, network: LiteNetwork, raw: Tensor, target: Tensor, rng: np.random.Generator) -> float:
        image = normalize(raw[None]).contiguous(memory_format=torch.channels_last_3d)
        user = SimulatedUser(target[None], habits=_HABITS, rng=rng)
        features, found = network.encoder(image), []
        for _ in range(_CLICKS):
            logits, _ = network.decoder(features, image, user.prompts())
            found.append(batch_dice(logits, target[None, None].float()))
            user.see(logits)
        return float(np.mean(found))


@torch.no_grad()
def batch_dice(logits: Tensor, truth: Tensor) -> float:
    """The mean Dice of masks cut from logits (B, 1, D, H, W) with targets of the same shape."""
    mask = (logits > 0).float()
    both = (mask * truth).sum(dim=(1, 2, 3, 4))
    return float((2 * both / (mask.sum(dim=(1, 2, 3, 4)) + truth.sum(dim=(1, 2, 3, 4))).clamp(min=1)).mean())
