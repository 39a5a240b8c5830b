"""Medical SAM Adapter's training (arXiv:2304.12620; specification 2.7-3.6), on slices and through depth.

As the authors' code does it: adapters and decoder move, each slice is told one random foreground click, and the loss is
taken after the answer was enlarged by repeating pixels. Corrected: a depth of one slice ends, and a sample is told the
clicks of its own alone, unless `shared_clicks` asks for the whole batch's. More than one click goes on where the answer
is wrong.

Legend: B samples, n slices of a sample (1 in 2D), N = B * n, S the side of the input, O of the target, k clicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.geometry.mask import VoxelBox
from inference_core.models.blocks.slice_preprocess import resized
from inference_core.models.medical_sam_adapter.preprocess import ABDOMEN_HU, normalized_images
from inference_core.models.medical_sam_adapter.starting import TRAINED, Start, official_content, start_from
from inference_core.models.registry import get_spec
from inference_core.models.spec import ClickFrame
from inference_core.models.store import weights_of
from inference_core.training.case_recipe import CaseRecipe
from inference_core.training.checkpoint import save_content
from inference_core.training.chunk_sampling import changed, random_crop, whole_slices
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.error_clicks import clicks_on_errors, first_click
from inference_core.training.losses import batch_dice, dice_and_cross_entropy, weighted_cross_entropy
from inference_core.training.optimization import train_only
from inference_core.training.ras_volumes import ras_volume
from inference_core.training.recipe import (
    Batch,
    Draws,
    Plan,
    Prepared,
    Step,
    check_scope,
    constant,
)
from inference_core.training.samples import Drawn, PreparedStore, values_of
from inference_core.training.slice_samples import ARRAYS, class_in_slice, nearest_pixels, sliced_case

PLAN = Plan(
    learning_rate=1e-4, optimizer="Adam", epochs=100, batch=2, schedule=constant, scopes=("published", "decoder"),
)  # fmt: skip
_SPACING = (1.5, 1.5, 2.0)
_TARGET_SIDE = 256
_INSIDE = 0.5


class MedicalSamAdapterRecipe(CaseRecipe):
    """Trains the encoder's adapters and the mask decoder, or the latter alone."""

    plan = PLAN

    def __init__(self, config: TrainConfig, start: Start, *, rule: str) -> None:
        self.config, self.start, self.network = config, start, start.network
        self.spec = get_spec(rule)
        self.slices = self.spec.window.shape[2]
        self.size = start.sizes.sam.image_size
        self.target_size = min(_TARGET_SIDE, self.size)
        self.clicks = config.clicks or PLAN.clicks
        kind, arrays = ("abdomen", ("image", "labels")) if self.slices > 1 else ("slices", ARRAYS)
        self.store = PreparedStore.of(config, kind, arrays, classes=config.classes)
        train_only(self.network, TRAINED if check_scope(config.scope, PLAN) == "published" else r"^mask_decoder\.")

    def prepare(self, case: Case) -> Prepared:
        """A case's own slices; through depth a volume of one spacing."""
        return self._volume(case) if self.slices > 1 else sliced_case(case, self.config.classes)

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice that holds a class; through depth a crop of several, changed at random."""
        return self._changed_crop(prepared, rng) if self.slices > 1 else self._slice(prepared, rng)

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice that holds a class; through depth whole slices, as they are."""
        return self._whole_slices(prepared, rng) if self.slices > 1 else self._slice(prepared, rng)

    def _volume(self, case: Case) -> Prepared:
        """A CT (X, Y, Z) at 1.5 x 1.5 x 2 mm, 0..1 between -175 and 250 HU, without what is 0 around it; its labels."""
        low, high = ABDOMEN_HU
        image = np.clip((ras_volume(case.read(), _SPACING) - np.float32(low)) / np.float32(high - low), 0, 1)
        labels = ras_volume(case.read_labels(), _SPACING, labels=True)
        labels = np.where(np.isin(labels, values_of(labels, self.config.classes)), labels, 0)
        image = np.nan_to_num(image)
        held = VoxelBox.over(image > 0)
        if held is not None:
            image, labels = image[held.slices()], labels[held.slices()]
        return {"image": image, "labels": labels}

    def _slice(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice with a class, squashed to the input as Pillow does it."""
        found = class_in_slice(prepared, rng)
        if found is None:
            return None
        side = (self.size, self.size)
        target = nearest_pixels(found[1], side)
        if not target.any():
            return None
        picture = torch.from_numpy(resized(found[0], side))
        return self._sample(picture[None].float() / 255, target[None].astype(np.int64), rng)

    def _changed_crop(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A crop, changed at random."""
        if not prepared["labels"].any():
            return None
        image, labels = random_crop(prepared["image"], prepared["labels"], rng, slices=self.slices)
        return self._chunk(*changed(image, labels, rng), rng)

    def _whole_slices(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """Whole slices."""
        if not prepared["labels"].any():
            return None
        return self._chunk(*whole_slices(prepared["image"], prepared["labels"], rng, slices=self.slices), rng)

    def step(self, batch: Batch, draws: Draws) -> Step:
        """A click on each slice, and further ones on what is wrong; the loss is the mean over the answers."""
        targets = batch["target"].flatten(0, 1)
        images = normalized_images(batch["image"].flatten(0, 1)[:, None], self.spec.intensity)
        embeddings = self.network.image_encoder(images)
        points = batch["point"].flatten(0, 1)[:, None].float()
        labels = torch.ones(points.shape[:2], dtype=torch.long, device=points.device)
        scale = batch["scale"].repeat_interleave(batch["point"].shape[1], dim=0).float()
        rngs = [rng for rng in draws.own for _ in range(batch["point"].shape[1])]
        loss, dice = targets.new_zeros(()), []
        for turn in range(self.clicks):
            logits = self.answer(embeddings, points, labels, samples=len(batch["target"]))
            loss = loss + self._loss(logits, targets) / self.clicks
            whole = logits.detach().reshape(len(batch["target"]), 1, *batch["target"].shape[1:])
            dice.append(batch_dice(whole, (batch["target"][:, None] > _INSIDE).float()))
            if turn < self.clicks - 1:
                places, kinds = clicks_on_errors(logits.detach() > 0, targets > _INSIDE, rngs)
                points = torch.cat([points, ((places + 0.5) * scale - 0.5)[:, None]], dim=1)
                labels = torch.cat([labels, kinds[:, None]], dim=1)
        return Step(loss, tuple(dice), whole > 0)

    def answer(self, embeddings: Tensor, points: Tensor, labels: Tensor, *, samples: int) -> Tensor:
        """Logits (N, O, O) for clicks (N, k, 2), rows and columns, with their labels (N, k)."""
        sets = 1 if self.config.shared_clicks else len(points) if self.spec.clicks_by_slice else samples
        told = points.flip(-1) if self.spec.clicks is ClickFrame.X_Y else points
        with torch.no_grad():
            together = (told.reshape(sets, -1, 2), labels.reshape(sets, -1))
            sparse, dense = self.network.prompt_encoder(together)
            places = self.network.prompt_encoder.dense_pe()
        repeated = [part.repeat_interleave(len(embeddings) // sets, dim=0) for part in (sparse, dense)]
        masks, _ = self.network.mask_decoder(embeddings, places, sparse=repeated[0], dense=repeated[1])
        first: Tensor = masks[:, :1].float()
        return F.interpolate(first, (self.target_size, self.target_size), mode="nearest")[:, 0]

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write what the authors' train.py writes, for their programs to read."""
        save_content(path, official_content(weights, self.start, optimizer=optimizer or {}))

    def _chunk(self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Drawn:
        """Of a crop (h, w, n): its rows run to the right and its columns to the front."""
        slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0), dtype=np.float32))
        scaled = F.interpolate(slices[:, None], (self.size, self.size), mode="bilinear")[:, 0]
        return self._sample(scaled, np.moveaxis(labels, 2, 0), rng)

    def _sample(self, image: Tensor, labels: np.ndarray, rng: np.random.Generator) -> Drawn:
        """Slices (n, S, S) in 0..1 with a click on each of the labels (n, h, w), and the mask of the clicked class."""
        found = [first_click(one, rng) for one in labels]
        masks = np.stack([(one == value) & (value > 0) for one, (_, value) in zip(labels, found, strict=True)])
        side = (self.target_size, self.target_size)
        target = F.interpolate(torch.from_numpy(masks.astype(np.float32))[:, None], side, mode="bilinear")[:, 0]
        return {
            "image": image, "target": target, "point": np.stack([place for place, _ in found]),
            # Pixels that clicks are counted in for each pixel of the target.
            "scale": np.array(labels.shape[1:], dtype=np.float32) / self.target_size,
        }  # fmt: skip

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.slices > 1:
            return dice_and_cross_entropy(logits[:, None], targets[:, None])
        return weighted_cross_entropy(logits, targets)


def build(config: TrainConfig, classes: Mapping[int, str], *, rule: str) -> MedicalSamAdapterRecipe:
    """The recipe over SAM's checkpoint, or from a training checkpoint; `rule` names the model whose input is meant.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if config.start_from is None:
        raise CheckpointError(
            "Medical SAM Adapter is trained on SAM's own weights; give SAM's checkpoint (--start-from)."
        )
    spec = get_spec(rule)
    size, slices = config.image_size or spec.window.shape[0], spec.window.shape[2]
    depth = (lambda images, entries: slices) if slices > 1 else None
    return MedicalSamAdapterRecipe(
        config, start_from(weights_of(config.start_from), image_size=size, depth=depth), rule=rule
    )
