"""SAM on slices of volumes: its mask decoder, or low-rank adapters in its encoder beside it.

SAM's own training (arXiv:2304.02643, appendix A) with the loss of its medical adaptations: a box or a click at first,
then clicks on errors, with the answer before as a prompt. A first click alone is ambiguous: three masks answer it, of
which the best one learns. Each mask's IoU is estimated, since that is how one of the three is chosen.

Legend: B slices, S the side of the input, g the side of the token grid, M masks, k clicks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import CheckpointError, OptionError
from inference_core.geometry.mask import VoxelBox
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import read_sizes, reading_sam
from inference_core.models.blocks.slice_preprocess import LongestSide
from inference_core.models.registry import get_spec
from inference_core.models.sam.model import PIXEL_MEAN, PIXEL_STD, refuse_other_size
from inference_core.models.store import weights_of
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.case_recipe import CaseRecipe
from inference_core.training.checkpoint import save_content
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.error_clicks import clicks_on_errors
from inference_core.training.losses import batch_dice, dice_and_cross_entropy
from inference_core.training.low_rank import adapt_attention, merged
from inference_core.training.optimization import train_only
from inference_core.training.recipe import (
    Batch,
    Draws,
    Group,
    Plan,
    Prepared,
    Step,
    check_scope,
    warm_cosine,
)
from inference_core.training.samples import Drawn, PreparedStore
from inference_core.training.slice_samples import ARRAYS, class_in_slice, nearest_pixels, sliced_case

PLAN = Plan(
    learning_rate=1e-4,
    weight_decay=0.01,
    epochs=100,
    batch=4,
    schedule=warm_cosine,
    groups=(Group("", clip=1.0),),
    scopes=("decoder", "lora"),
    clicks=4,
)
_INSIDE = 0.5
# Appendix A: corners move by a tenth of the box's side, 20 pixels at most.
_JITTER, _MOST_JITTER = 0.1, 20.0


class SamRecipe(CaseRecipe):
    """Trains the mask decoder; with scope lora low-rank adapters of the encoder too, which the file has added in."""

    plan = PLAN

    def __init__(self, config: TrainConfig, network: SamNetwork) -> None:
        self.config, self.network = config, network
        self.clicks = config.clicks or PLAN.clicks
        self.store = PreparedStore.of(config, "slices", ARRAYS, classes=config.classes)
        self.scale = LongestSide(network.sizes.image_size)
        self.encoder_learns = check_scope(config.scope, PLAN) == "lora"
        if self.encoder_learns:
            adapt_attention(network)
            network.mask_decoder.requires_grad_(True)
        else:
            train_only(network, r"^mask_decoder\.")

    def prepare(self, case: Case) -> Prepared:
        """A case's own voxels and labels, slices last, and the values to learn."""
        return sliced_case(case, self.config.classes)

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice: image (1, S, S) of gray values 0..255, target (1, S, S), held (2,) the rows and columns it fills."""
        found = class_in_slice(prepared, rng)
        if found is None:
            return None
        picture = self.scale.picture(found[0])
        rows, columns = picture.shape
        target = nearest_pixels(found[1], (rows, columns))
        if not target.any():
            return None
        beyond = ((0, self.scale.size - rows), (0, self.scale.size - columns))
        return {
            "image": np.pad(picture, beyond)[None].astype(np.float32), "held": np.array([rows, columns]),
            "target": np.pad(target, beyond)[None].astype(np.float32),
        }  # fmt: skip

    def step(self, batch: Batch, draws: Draws) -> Step:
        """So many prompts in turn; the loss is the mean over the answers."""
        target = batch["target"]
        embeddings = self._embedded(batch)
        by_box = self.network.training and bool(draws.shared.random() < 0.5)
        boxes = _boxes(target, draws.own) if by_box else None
        points, low, logits = None, None, torch.full_like(target, -1.0)
        loss, dice = target.new_zeros(()), []
        for turn in range(self.clicks):
            if turn or not by_box:
                points = _clicked(points, logits > 0, target > _INSIDE, draws)
            ambiguous = turn == 0 and not by_box
            answers, qualities = self._answers(embeddings, points, boxes, low)
            kept = slice(1, None) if ambiguous else slice(0, 1)
            error, best = self._error(answers[:, kept], qualities[:, kept], target)
            loss = loss + error / self.clicks
            low = answers[:, kept][torch.arange(len(best)), best][:, None]
            logits = self._enlarged(low.detach())
            dice.append(batch_dice(logits, target))
        return Step(loss, tuple(dice), logits > 0)

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write SAM's own layout, a bare dictionary of tensors."""
        save_content(path, merged(weights))

    def _embedded(self, batch: Batch) -> Tensor:
        """The image embeddings (B, C, g, g); without gradients where nothing of the encoder learns."""
        gray = batch["image"]
        mean, deviation = gray.new_tensor((PIXEL_MEAN, PIXEL_STD))[:, :, None, None]
        side = torch.arange(gray.shape[-1], device=gray.device)
        rows, columns = (side[None] < batch["held"][:, axis, None] for axis in (0, 1))
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        with torch.set_grad_enabled(self.encoder_learns and torch.is_grad_enabled()):
            embeddings: Tensor = self.network.image_encoder((gray - mean) / deviation * inside)
        return embeddings

    def _answers(
        self, embeddings: Tensor, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, low: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Low-res logits (B, M, 4g, 4g) of every mask token, and estimated IoUs (B, M)."""
        prompts = self.network.prompt_encoder
        sparse, dense = prompts(points, boxes, low)
        masks, qualities = self.network.mask_decoder(embeddings, prompts.dense_pe(), sparse=sparse, dense=dense)
        return masks.float(), qualities.float()

    def _error(self, answers: Tensor, qualities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of the best mask of each slice with that of all estimates, and which the best ones are (B,)."""
        logits = self._enlarged(answers)
        each = torch.stack([
            torch.stack([dice_and_cross_entropy(mask[None, None], truth[None]) for mask in masks])
            for masks, truth in zip(logits, target, strict=True)
        ])  # fmt: skip
        with torch.no_grad():
            found, truth = logits > 0, target > _INSIDE
            both, either = ((found & truth).sum(dim=(2, 3)), (found | truth).sum(dim=(2, 3)))
        estimate = F.mse_loss(qualities, both / either.clamp(min=1))
        least = each.min(dim=1)
        return least.values.mean() + estimate, least.indices

    def _enlarged(self, low: Tensor) -> Tensor:
        return F.interpolate(low, (self.scale.size, self.scale.size), mode="bilinear", align_corners=False)


def build(config: TrainConfig, classes: Mapping[int, str], *, rule: str) -> SamRecipe:
    """The recipe over SAM's checkpoint; `rule` names the model, whose size the checkpoint must have.

    Raises:
        CheckpointError: there is no such checkpoint.
        OptionError: another input is asked for than the checkpoint's.
    """
    if config.start_from is None:
        raise CheckpointError("SAM is adapted, not trained from nothing; give SAM's checkpoint (--start-from).")
    path = weights_of(config.start_from)
    state = load_state_dict(path)
    with reading_sam(path.name):
        network = SamNetwork(read_sizes(state))
    refuse_other_size(network.sizes, get_spec(rule), name=path.name)
    load_strict(network, state, name=path.name)
    if config.image_size not in (0, network.sizes.image_size):
        raise OptionError(f"SAM looks at {network.sizes.image_size} pixels a side; leave out --image_size.")
    return SamRecipe(config, network)


def _boxes(target: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """A box x0, y0, x1, y1 (B, 4) around each target (B, 1, S, S), its corners moved a little."""
    found = []
    for mask, rng in zip(target.cpu().numpy() > _INSIDE, rngs, strict=True):
        held = VoxelBox.over(mask)
        assert held is not None, "drawn slices hold something"
        box = np.concatenate([held.start[:0:-1], held.stop[:0:-1] - 1]).astype(np.float32)
        found.append(box + _moved(box, rng))
    return torch.from_numpy(np.stack(found)).to(target.device)


def _moved(box: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    sides = np.tile(box[2:] - box[:2] + 1, 2)
    return np.clip(rng.normal(0, _JITTER * sides), -_MOST_JITTER, _MOST_JITTER).astype(np.float32)


def _clicked(points: tuple[Tensor, Tensor] | None, masks: Tensor, truth: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Earlier clicks, x and y (B, k, 2) with labels (B, k), and one more on an error of each mask (B, 1, S, S)."""
    places, kinds = clicks_on_errors(masks[:, 0], truth[:, 0], draws.own)
    new = places.flip(-1)[:, None], kinds[:, None]
    return new if points is None else (torch.cat([points[0], new[0]], dim=1), torch.cat([points[1], new[1]], dim=1))
