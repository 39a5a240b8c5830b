"""SAM3D lite's training: windows of any scale and orientation, a simulated user who clicks, draws and corrects.

The loss is taken after every prompt of a batch: beside the encoder, which runs once, a decoder's step costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference_core.models.blocks.conv3d import channels_last
from inference_core.models.sam3d_lite.model import normalize
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.store import weights_of
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.checkpoint import save_weights
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.interaction import Habits, SimulatedUser
from inference_core.training.losses import batch_dice, mask_loss, quality_loss
from inference_core.training.optimization import train_only
from inference_core.training.pools import Pool
from inference_core.training.recipe import (
    Batch,
    Draws,
    Group,
    Plan,
    SampleSource,
    Stage,
    Step,
    check_scope,
    warm_cosine,
)
from inference_core.training.windows import Tissue, TrainingWindows, store_of

PLAN = Plan(
    learning_rate=2e-3,
    weight_decay=0.01,
    epochs=100,
    batch=1,  # each size of window has its own (`LiteMixture.batches`)
    schedule=warm_cosine,
    groups=(Group("", clip=1.0),),
    ema=0.998,
    scopes=("all", "norms", "quality"),
    clicks=6,
)
_CLICK_SHARES = (0.2, 0.25, 0.25, 0.15, 0.1, 0.05)
_JUDGED_CLICKS = 3
# Clicks and boxes are what most users give; drawn prompts would only add to the spread of what weights are chosen by.
_JUDGED_HABITS = Habits(box=0.25)
_VALIDATION_SEED = 7_919
_VALIDATION_SIZE = 48
# Gains and scales are what this network has in place of most norm layers.
_NORMS_AND_FIRST_STAGE = r"\.(gain|scale|bias)$|\.norm\d\.|^encoder\.(stem|fine)\."


class LiteRecipe:
    """Trains all of SAM3D lite; or its norm layers and first stage, which is an adaptation of minutes; or its quality.

    Of the quality scope nothing moves but the estimate of a mask's IoU, at a third of the cost: the choice among a
    first click's scales rests on it.
    """

    plan = PLAN

    def __init__(self, config: TrainConfig, network: LiteNetwork) -> None:
        self.config, self.network = config, channels_last(network)
        self.scope = check_scope(config.scope, PLAN)
        self.clicks = min(config.clicks or PLAN.clicks, len(_CLICK_SHARES))
        if self.scope == "norms":
            train_only(network, _NORMS_AND_FIRST_STAGE)
        elif self.scope == "quality":
            train_only(network, r"^decoder\.quality\.")

    def stages(self, pools: Sequence[Pool], *, batch: int) -> Sequence[Stage]:
        """Small windows first. `batch` is not asked: each size of window has its own."""
        mixture, tissue = self.config.lite, self._tissue(pools)
        seed = self.config.seed
        return [
            Stage(share, TrainingWindows(mixture, tissue, size=size, seed=seed), count)
            for share, size, count in zip(mixture.stage_shares, mixture.sizes, mixture.batches, strict=True)
        ]

    def validation(self, pools: Sequence[Pool]) -> SampleSource:
        """Windows around labeled targets alone; procedural ones where there are no cases."""
        mixture = _only_labeled(self.config.lite) if pools else self.config.lite
        size = min(_VALIDATION_SIZE, max(self.config.lite.sizes))
        return TrainingWindows(mixture, self._tissue(pools), size=size, seed=_VALIDATION_SEED)

    def _tissue(self, pools: Sequence[Pool]) -> Tissue:
        return Tissue(pools, classes=self.config.classes, store=store_of(self.config))

    def step(self, batch: Batch, draws: Draws) -> Step:
        """Some prompts in turn; how many is drawn anew for each batch in training, and is fixed to be judged."""
        judged = not self.network.training
        image = normalize(batch["image"]).contiguous(memory_format=torch.channels_last_3d)
        truth = batch["target"][:, None].float()
        user = SimulatedUser(
            batch["target"], habits=_JUDGED_HABITS if judged else self.config.lite.habits, rngs=draws.own
        )
        features = self.network.encoder(image)
        loss, dice = torch.zeros((), device=image.device), []
        count = _JUDGED_CLICKS if judged else self._clicks_of(draws.shared)
        for turn in range(count):
            logits, quality = self.network.decoder(features, image, user.prompts())
            logits, quality = logits.float(), quality.float()
            loss = loss + self._loss(logits, quality, truth, batch["whole"].to(logits)) / count
            dice.append(batch_dice(logits, truth))
            if turn < count - 1:
                user.see(logits)
        return Step(loss, tuple(dice), logits.detach() > 0)

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write half-precision safetensors, as the shipped model is."""
        save_weights(path, dict(weights))

    def _clicks_of(self, rng: np.random.Generator) -> int:
        shares = np.array(_CLICK_SHARES[: self.clicks])
        return 1 + int(rng.choice(len(shares), p=shares / shares.sum()))

    def _loss(self, logits: Tensor, quality: Tensor, truth: Tensor, whole: Tensor) -> Tensor:
        estimate = quality_loss(quality, logits, truth, whole)
        return estimate if self.scope == "quality" else mask_loss(logits, truth) + 0.3 * estimate


def _only_labeled(mixture: LiteMixture) -> LiteMixture:
    return replace(mixture, regions=0.0, inserted=0.0, tiny=0.0, limb=0.0, synthetic=0.0)


def build(config: TrainConfig, classes: Mapping[int, str], *, sizes: LiteConfig | None = None) -> LiteRecipe:
    """The recipe, freshly drawn or from weights of the same size.

    Raises:
        CheckpointError: the weights to start from are of another model.
    """
    if config.start_from is None:
        return LiteRecipe(config, LiteNetwork(sizes or LiteConfig()))
    path = weights_of(config.start_from)
    state = widened(load_state_dict(path), STROKE_CHANNELS)
    network = LiteNetwork(sizes or LiteConfig())
    load_strict(network, state, name=path.name)
    return LiteRecipe(config, network)
