"""Medical SAM Adapter's training (arXiv:2304.12620; specification 2.7-3.6), on slices and through depth.

As the authors' code does it: adapters and decoder move, each slice is told one random foreground click, and the loss is
taken after the answer was enlarged by repeating pixels. Corrected: a depth of one slice ends, and a sample is told the
clicks of its own alone, unless `shared_clicks` asks for the whole batch's. More than one click goes on where the answer
is wrong.

With a text encoder half of the batches are told a text alone, a quarter a text and clicks, a quarter clicks. Three in
ten samples are of any slices and name anything: a text is asked of whole volumes, most of whose slices show nothing of
it. Kept back cases are told a text alone, and show what it names.

Legend: B samples, n slices of a sample (1 in 2D), N = B * n, S the side of the input, O of the target, k clicks, K C a
text's tokens and their channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.geometry.mask import VoxelBox
from inference_core.models.blocks.slice_preprocess import eight_bit, resized
from inference_core.models.medical_sam_adapter.preprocess import ABDOMEN_HU, normalized_images
from inference_core.models.medical_sam_adapter.starting import TRAINED, Start, official_content, start_from
from inference_core.models.medical_sam_adapter.text import remember
from inference_core.models.registry import get_spec
from inference_core.models.spec import ClickFrame
from inference_core.models.store import weights_of
from inference_core.models.text_encoder import read_text_encoder
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
from inference_core.training.texts import Texts, texts_of

PLAN = Plan(
    learning_rate=1e-4, optimizer="Adam", epochs=100, batch=2, schedule=constant, scopes=("published", "decoder"),
)  # fmt: skip
_SPACING = (1.5, 1.5, 2.0)
_TARGET_SIDE = 256
_INSIDE = 0.5
_ABSENT = 0.3


@dataclass(frozen=True, eq=False)
class LearnedTexts:
    """Texts and their embeddings (texts, E)."""

    named: Texts
    embeddings: Tensor


class MedicalSamAdapterRecipe(CaseRecipe):
    """Trains the encoder's adapters and the mask decoder, or the latter alone."""

    plan = PLAN

    def __init__(self, config: TrainConfig, start: Start, *, rule: str, texts: LearnedTexts | None = None) -> None:
        self.config, self.start, self.network = config, start, start.network
        self.spec = get_spec(rule)
        self.slices = self.spec.window.shape[2]
        self.size = start.sizes.sam.image_size
        self.target_size = min(_TARGET_SIDE, self.size)
        self.clicks = config.clicks or PLAN.clicks
        self.texts = texts
        kind, arrays = ("abdomen", ("image", "labels")) if self.slices > 1 else ("slices", ARRAYS)
        self.store = PreparedStore.of(config, kind, arrays, classes=config.classes)
        scope = check_scope(config.scope, PLAN)
        train_only(self.network, TRAINED if scope == "published" else r"^mask_decoder\.|^text_projection\.")

    def prepare(self, case: Case) -> Prepared:
        """A case's own slices; through depth a volume of one spacing."""
        return self._volume(case) if self.slices > 1 else sliced_case(case, self.config.classes)

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice that holds a class; through depth a crop of several, changed at random."""
        if self.slices > 1:
            return self._changed_crop(prepared, rng)
        return self._slice(prepared, rng) if self.texts is None else self._named_slice(prepared, rng, absent=_ABSENT)

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A slice that holds a class; through depth whole slices, as they are."""
        if self.slices > 1:
            return self._whole_slices(prepared, rng)
        return self._slice(prepared, rng) if self.texts is None else self._named_slice(prepared, rng, absent=0.0)

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

    def _named_slice(self, prepared: Prepared, rng: np.random.Generator, *, absent: float) -> Drawn | None:
        """A slice with a class, and a text with its target there; by the chance `absent` any slice and any text."""
        assert self.texts is not None
        if len(prepared["values"]) == 0:
            return None
        absent = float(rng.random() < absent)
        shown = (prepared["labels"] == rng.choice(prepared["values"])).any(axis=(0, 1)) | bool(absent)
        number = int(rng.choice(np.flatnonzero(shown)))
        labels, side = prepared["labels"][:, :, number].T, (self.size, self.size)
        picture = torch.from_numpy(resized(eight_bit(prepared["image"][:, :, number].T), side))
        return self._named(picture[None].float() / 255, labels[None], rng, absent=absent, side=side)

    def _named(
        self,
        image: Tensor,
        labels: np.ndarray,
        rng: np.random.Generator,
        *,
        absent: float,
        side: tuple[int, int] | None = None,
    ) -> Drawn | None:
        """Slices told of by a text: the union of its classes in labels (n, h, w), brought to a side if asked for."""
        assert self.texts is not None
        text = self.texts.named.drawn(labels, rng, absent=absent)
        if text is None:
            return None
        target = self.texts.named.target(text, labels)
        if side is not None:
            target = np.stack([nearest_pixels(one, side) for one in target])
        return {**self._sample(image, target.astype(np.int64), rng), "text": np.int64(text)}

    def _changed_crop(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A crop, changed at random."""
        if not prepared["labels"].any():
            return None
        image, labels = random_crop(prepared["image"], prepared["labels"], rng, slices=self.slices)
        return self._chunk(*changed(image, labels, rng), rng, absent=_ABSENT)

    def _whole_slices(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """Whole slices."""
        if not prepared["labels"].any():
            return None
        image, labels = whole_slices(prepared["image"], prepared["labels"], rng, slices=self.slices)
        return self._chunk(image, labels, rng, absent=0.0)

    def step(self, batch: Batch, draws: Draws) -> Step:
        """A click on each slice, and further ones on what is wrong; the loss is the mean over the answers."""
        targets = batch["target"].flatten(0, 1)
        images = normalized_images(batch["image"].flatten(0, 1)[:, None], self.spec.intensity)
        embeddings = self.network.image_encoder(images)
        points = batch["point"].flatten(0, 1)[:, None].float()
        text, clicked = self._telling(batch, draws)
        labels = self._first_labels(targets, clicked=clicked)
        scale = batch["scale"].repeat_interleave(batch["point"].shape[1], dim=0).float()
        rngs = [rng for rng in draws.own for _ in range(batch["point"].shape[1])]
        loss, dice = targets.new_zeros(()), []
        for turn in range(self.clicks):
            logits = self.answer(embeddings, points, labels, samples=len(batch["target"]), text=text)
            loss = loss + self._loss(logits, targets) / self.clicks
            whole = logits.detach().reshape(len(batch["target"]), 1, *batch["target"].shape[1:])
            dice.append(batch_dice(whole, (batch["target"][:, None] > _INSIDE).float()))
            if turn < self.clicks - 1:
                places, kinds = clicks_on_errors(logits.detach() > 0, targets > _INSIDE, rngs)
                points = torch.cat([points, ((places + 0.5) * scale - 0.5)[:, None]], dim=1)
                labels = torch.cat([labels, kinds[:, None]], dim=1)
        return Step(loss, tuple(dice), whole > 0)

    def _telling(self, batch: Batch, draws: Draws) -> tuple[Tensor | None, bool]:
        """The numbers of texts (B,), or None, that a batch is told, and whether it is told a click too."""
        if self.texts is None:
            return None, True
        if not self.network.training:
            return batch["text"], False
        way = int(draws.shared.integers(4))
        return (None if way == 3 else batch["text"]), way > 1

    def _first_labels(self, targets: Tensor, *, clicked: bool) -> Tensor:
        """Labels (N, 1) of the first clicks: none where nothing may be clicked or, with texts, there is no target."""
        labels = torch.ones(len(targets), 1, dtype=torch.long, device=targets.device)
        if self.texts is None:
            return labels
        shown = (targets > _INSIDE).flatten(1).any(dim=1, keepdim=True) & clicked
        return torch.where(shown, labels, -labels)

    def answer(
        self, embeddings: Tensor, points: Tensor, labels: Tensor, *, samples: int, text: Tensor | None = None
    ) -> Tensor:
        """Logits (N, O, O) for clicks (N, k, 2), rows and columns, with their labels (N, k), and texts (B,)."""
        sets = 1 if self.config.shared_clicks else len(points) if self.spec.clicks_by_slice else samples
        told = points.flip(-1) if self.spec.clicks is ClickFrame.X_Y else points
        with torch.no_grad():
            together = (told.reshape(sets, -1, 2), labels.reshape(sets, -1))
            sparse, dense = self.network.prompt_encoder(together)
            places = self.network.prompt_encoder.dense_pe()
        if text is not None:
            sparse = torch.cat([sparse, self._tokens(text).repeat_interleave(sets // samples, dim=0)], dim=1)
        repeated = [part.repeat_interleave(len(embeddings) // sets, dim=0) for part in (sparse, dense)]
        masks, _ = self.network.mask_decoder(embeddings, places, sparse=repeated[0], dense=repeated[1])
        first: Tensor = masks[:, :1].float()
        return F.interpolate(first, (self.target_size, self.target_size), mode="nearest")[:, 0]

    def _tokens(self, text: Tensor) -> Tensor:
        """The tokens (B, K, C) of texts by their numbers (B,)."""
        assert self.texts is not None
        embeddings = self.texts.embeddings.to(text.device)[text]
        tokens: Tensor = self.network.text_projection(embeddings)  # type: ignore[operator]
        return tokens

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write what the authors' train.py writes, for their programs to read."""
        save_content(path, official_content(weights, self.start, optimizer=optimizer or {}))

    def _chunk(self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, *, absent: float) -> Drawn | None:
        """Of a crop (h, w, n): its rows run to the right and its columns to the front."""
        slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0), dtype=np.float32))
        scaled = F.interpolate(slices[:, None], (self.size, self.size), mode="bilinear")[:, 0]
        labels = np.moveaxis(labels, 2, 0)
        return (
            self._sample(scaled, labels, rng) if self.texts is None else self._named(scaled, labels, rng, absent=absent)
        )

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
        CheckpointError: there is no such checkpoint, or no text encoder in the folder given.
        OptionError: texts are asked for without a text encoder, or with the clicks of the whole batch.
    """
    if config.start_from is None:
        raise CheckpointError(
            "Medical SAM Adapter is trained on SAM's own weights; give SAM's checkpoint (--start-from)."
        )
    spec = get_spec(rule)
    size, slices = config.image_size or spec.window.shape[0], spec.window.shape[2]
    depth = (lambda images, entries: slices) if slices > 1 else None
    encoder = None if config.text_encoder is None else read_text_encoder(config.text_encoder)
    width = 0 if encoder is None else encoder.width
    start = start_from(weights_of(config.start_from), image_size=size, depth=depth, text_width=width)
    texts = None
    if encoder is not None:
        remember(start.network, encoder, name=config.start_from.name)
        named = texts_of(config.text_file, classes, config.classes)
        texts = LearnedTexts(named, encoder.embed(named.texts))
    return MedicalSamAdapterRecipe(config, start, rule=rule, texts=texts)
