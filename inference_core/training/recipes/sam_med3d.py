"""SAM-Med3D's training (arXiv:2310.15161, section 4; its train.py): eleven prompts a sample, each on an error.

Differences from the authors' code, which change no number that a file depends on: gradients are brought together
across processes, where theirs stay apart; a mask without an error is clicked inside; axes are turned to the nearest
right-anterior-superior ones, as at inference.

Legend: B samples, S the side of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.sam_med3d.model import foreground_zscore
from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
from inference_core.models.sam_med3d.original_window import begin_around, crop_or_pad, original_volume
from inference_core.models.store import weights_of
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.case_recipe import CaseRecipe
from inference_core.training.checkpoint import save_content
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.error_clicks import clicks_on_errors
from inference_core.training.losses import batch_dice, dice_and_cross_entropy
from inference_core.training.low_rank import adapt_attention, merged
from inference_core.training.recipe import (
    Batch,
    Draws,
    Group,
    Plan,
    Prepared,
    Step,
    check_scope,
    in_drops,
)
from inference_core.training.samples import Drawn, PreparedStore, mirrored, values_of

PLAN = Plan(
    learning_rate=8e-4,
    weight_decay=0.1,
    epochs=200,
    batch=12,
    schedule=in_drops(0.6, 0.9),
    groups=(Group(r"^image_encoder\."), Group("", rate=0.1)),
    scopes=("all", "adapters", "decoder"),
    clicks=11,
)
_CT_BELOW, _CT_RANGE = -500, (-1000, 1000)
_FEWEST_AT_FULL_SIZE = 1000
_ERROR_ABOVE = 0.5
_INSIDE = 0.5
_EARLIEST_UNPROMPTED, _LATEST_UNPROMPTED = 2, 8


class SamMed3DRecipe(CaseRecipe):
    """Trains all of SAM-Med3D, its decoder, or low-rank adapters in its encoder."""

    plan = PLAN

    def __init__(self, config: TrainConfig, network: SamMed3DNetwork) -> None:
        self.config, self.network = config, network
        self.clicks = config.clicks or PLAN.clicks
        scope = check_scope(config.scope, PLAN)
        if scope == "adapters":
            adapt_attention(network)
        elif scope == "decoder":
            network.image_encoder.requires_grad_(False)
        self.size = network.config.image_size
        self._fewest = _FEWEST_AT_FULL_SIZE * (self.size / 128) ** 3
        self.store = PreparedStore.of(
            config, "sam_med3d", ("image", "labels", "values"), classes=config.classes, fewest=self._fewest
        )

    def prepare(self, case: Case) -> Prepared:
        """A case at 1.5 mm in axes nearest to right-anterior-superior."""
        image, labels = original_volume(case.read()).array, original_volume(case.read_labels(), labels=True).array
        if image.min() < _CT_BELOW:
            image = image.clip(*_CT_RANGE)
        values = values_of(labels, self.config.classes, least=int(self._fewest) + 1)
        return {"image": image.astype(np.float32), "labels": labels, "values": values}

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A window around a random target, flipped at random: image (1, S, S, S) float32, target the same."""
        return self._window(prepared, rng, flip=True)

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """The same, never flipped."""
        return self._window(prepared, rng, flip=False)

    def _window(self, prepared: Prepared, rng: np.random.Generator, *, flip: bool) -> Drawn | None:
        if len(prepared["values"]) == 0:
            return None
        target = prepared["labels"] == rng.choice(prepared["values"])
        begin = begin_around(target, self.size)
        window, inside = (_cut(array, begin, self.size) for array in (prepared["image"], target.astype(np.uint8)))
        if flip:
            window, inside = mirrored([window, inside], rng)
        if (window > 0).sum() < 2 or not inside.any():
            return None
        return {"image": window[None].astype(np.float32), "target": inside[None].astype(np.float32)}

    def step(self, batch: Batch, draws: Draws) -> Step:
        """So many prompts in turn, each on the error of the mask before, the gradient through all of them."""
        target = batch["target"]
        embedding = self.network.image_encoder(foreground_zscore(batch["image"]))
        low = torch.zeros(len(target), 1, *[4 * self.network.config.grid] * 3, device=target.device)
        mask = torch.zeros_like(target, dtype=torch.bool)
        unprompted = {self.clicks - 1} | {int(draws.shared.integers(_EARLIEST_UNPROMPTED, _LATEST_UNPROMPTED + 1))}
        loss, dice = target.new_zeros(()), []
        for turn in range(self.clicks):
            prompt = (None, None) if turn and turn in unprompted else _clicks(mask, target > _INSIDE, draws.own)
            low = self._decoded(embedding, prompt, low)
            logits = F.interpolate(low.float(), size=target.shape[2:], mode="trilinear", align_corners=False)
            loss = loss + dice_and_cross_entropy(logits, target)
            mask = logits.detach() > _ERROR_ABOVE
            dice.append(batch_dice(logits, target))
        return Step(loss, tuple(dice), mask)

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write what the authors' train.py writes, for their programs to read, as far as it is plain data."""
        content = {
            "epoch": 0, "model_state_dict": merged(weights), "optimizer_state_dict": dict(optimizer or {}),
            "lr_scheduler_state_dict": {}, "losses": [], "dices": [], "best_loss": 0.0, "best_dice": 0.0,
            "args": {}, "used_datas": [],
        }  # fmt: skip
        save_content(path, content)

    def _decoded(self, embedding: Tensor, prompt: tuple[Tensor | None, Tensor | None], low: Tensor) -> Tensor:
        sparse, dense = self.network.prompt_encoder(*prompt, low)
        if len(sparse) != len(dense):
            sparse = sparse.expand(len(dense), -1, -1)
        places = self.network.prompt_encoder.dense_pe()
        masks, _ = self.network.mask_decoder(embedding, places, sparse=sparse, dense=dense)
        return torch.as_tensor(masks[:, :1])


def build(config: TrainConfig, classes: Mapping[int, str]) -> SamMed3DRecipe:
    """The recipe, from an official file, or freshly drawn at the official size or of another window.

    Raises:
        CheckpointError: the file to start from is of another model.
    """
    if config.start_from is None:
        network = SamMed3DNetwork(SamMed3DConfig(image_size=config.image_size or SamMed3DConfig.image_size))
        return SamMed3DRecipe(config, network)
    path = weights_of(config.start_from)
    state = load_state_dict(path)
    network = SamMed3DNetwork(SamMed3DConfig.of(state))
    load_strict(network, state, name=path.name)
    return SamMed3DRecipe(config, network)


def _clicks(masks: Tensor, truth: Tensor, rngs: Sequence[np.random.Generator]) -> tuple[Tensor, Tensor]:
    """A click for each sample, (B, 1, 3) and (B, 1), on an error of its mask (B, 1, S, S, S)."""
    points, labels = clicks_on_errors(masks[:, 0], truth[:, 0], rngs)
    return points[:, None], labels[:, None]


def _cut(array: np.ndarray, begin: np.ndarray, size: int) -> np.ndarray:
    """The cube of `size` voxels a side from voxel `begin` on, 0 beyond the array."""
    return crop_or_pad(Volume(array, Grid(array.shape, np.eye(4))), begin, size=size).array
