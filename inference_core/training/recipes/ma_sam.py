"""MA-SAM's training (arXiv:2309.08842; specification 8): stacks of five slices, all classes at once, or one and a box.

Legend: B stacks, n slices of a stack, S the side of the input, T classes with the background, K without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import CheckpointError, OptionError
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.slices import slices_last
from inference_core.models.blocks.sam_sizes import reading_sam
from inference_core.models.ma_sam.factor_tuning import TRAINED, TrainableMaSam, official_delta, start_from_sam
from inference_core.models.ma_sam.model import gray_rule
from inference_core.models.ma_sam.preprocess import GrayRule, network_slice
from inference_core.models.registry import get_spec
from inference_core.models.store import weights_of
from inference_core.models.weights import load_state_dict
from inference_core.training.case_recipe import CaseRecipe
from inference_core.training.checkpoint import save_content
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.losses import class_dice_and_cross_entropy
from inference_core.training.optimization import train_only
from inference_core.training.recipe import Batch, Draws, Group, Plan, Prepared, Step, check_scope
from inference_core.training.samples import Drawn, PreparedStore
from inference_core.training.stack_augmentation import augmented_stack

_WARM_STEPS, _POWER = 250, 7
# The authors plan for 400 epochs and stop after 300.
_PLANNED = 400 / 300


def warm_power(step: int, steps: int) -> float:
    """A linear start over 250 steps (a tenth of a shorter run), then (1 - i / planned)^7."""
    warm = min(_WARM_STEPS, max(1, steps // 10))
    if step <= warm:
        return max(step, 1) / warm
    return float((1 - (step - 1 - warm) / (_PLANNED * steps)) ** _POWER)


PLAN = Plan(
    learning_rate=8e-4, weight_decay=0.1, epochs=300, batch=24, schedule=warm_power,
    groups=(Group(""),), scopes=("published", "decoder"),
)  # fmt: skip


class MaSamRecipe(CaseRecipe):
    """Trains adapters, factors, prompt encoder and decoder; `boxes` says whether the network is told one by a box."""

    plan = PLAN

    def __init__(
        self, config: TrainConfig, network: TrainableMaSam, *, rule: str, values: Sequence[int], boxes: bool
    ) -> None:
        self.config, self.network, self.values, self.boxes = config, network, tuple(values), boxes
        self.rule = get_spec(rule).intensity
        scope = check_scope(config.scope, PLAN)
        train_only(network, TRAINED if scope == "published" else r"^mask_decoder\.")
        self.size, self.slices = network.all_sizes.sam.image_size, network.all_sizes.slices
        self.store = PreparedStore.of(
            config, "ma_sam", ("image", "labels", "held", "rule"), rule=self.rule.name, values=self.values
        )

    def prepare(self, case: Case) -> Prepared:
        """Windowed slices (X, Y, Z), their labels 0..K, and which slices have any."""
        image, labels = slices_last(case.read()), slices_last(case.read_labels())
        rule = gray_rule(self.rule, image)
        classes = np.zeros(labels.array.shape, dtype=np.uint8)
        for number, value in enumerate(self.values, start=1):
            classes[labels.array == value] = number
        held = np.flatnonzero(classes.any(axis=(0, 1)))
        numbers = np.array([rule.low, rule.high, rule.scale, rule.mean, rule.std])
        return {"image": rule.windowed(image.array), "labels": classes, "held": held, "rule": numbers}

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A stack at random, augmented as the authors do it."""
        return self._stack(prepared, rng, change=True)

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A stack as it is, the more often the more it holds: as in a whole volume's Dice, voxels count alike."""
        return self._stack(prepared, rng, change=False)

    def _stack(self, prepared: Prepared, rng: np.random.Generator, *, change: bool) -> Drawn | None:
        """Image (n, S, S) in 0..1, target (n, S, S) of classes, and with boxes x0, y0, x1, y1 in pixels."""
        labels, held = prepared["labels"], prepared["held"]
        if len(held) == 0:
            return None
        count, middle = labels.shape[2], self._middle(prepared, rng, by_size=not change)
        numbers = np.clip(np.arange(self.slices) + middle - self.slices // 2, 0, count - 1)
        low, high, scale, mean, std = prepared["rule"]
        rule = GrayRule(low, high, scale=scale, mean=mean, std=std)
        stack = rule.stretched(np.stack([network_slice(prepared["image"][:, :, k], self.size) for k in numbers]))
        target = np.stack([turned_labels(labels[:, :, k], self.size) for k in numbers])
        if change:
            stack, target = augmented_stack(stack, target, rng, moved=not self.boxes)
        drawn: Drawn = {"image": stack, "target": target.astype(np.int64)}
        if self.boxes:
            if not target.any():
                return None
            drawn["box"] = box_around(target)
        return drawn

    def _middle(self, prepared: Prepared, rng: np.random.Generator, *, by_size: bool) -> int:
        """The slice that a stack is around, one that holds a class in proportion to how much of it there is."""
        labels, held = prepared["labels"], prepared["held"]
        if by_size:
            sizes = (labels[:, :, held] > 0).sum(axis=(0, 1))
            return int(rng.choice(held, p=sizes / sizes.sum()))
        # Slices beside the classes belong to a volume too; of those that hold some there are usually few.
        return int(rng.choice(held)) if self.boxes or rng.random() < 0.5 else int(rng.integers(labels.shape[2]))

    def step(self, batch: Batch, draws: Draws) -> Step:
        """All classes of all slices at once; the box, where there is one, is the same for all slices of a stack."""
        stacks, labels = batch["image"], batch["target"].flatten(0, 1)
        pixels = stacks.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)
        embeddings = self.network.image_encoder(pixels)
        boxes = batch["box"].repeat_interleave(stacks.shape[1], dim=0).float() if self.boxes else None
        logits = self.network.decode(embeddings, boxes).float()
        loss = class_dice_and_cross_entropy(logits, labels)
        masks = logits.detach().argmax(dim=1)
        return Step(loss, (_mean_dice(masks, labels),), masks.reshape(batch["target"].shape))

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write what the authors' `save_parameters` writes: all that is not SAM's own."""
        save_content(path, official_delta(weights))


def build(config: TrainConfig, classes: Mapping[int, str], *, rule: str, boxes: bool) -> MaSamRecipe:
    """The recipe over the SAM checkpoint `config.start_from`; `rule` names the model whose gray values are meant.

    Raises:
        CheckpointError: there is no such checkpoint.
        OptionError: there is no class, or several with boxes.
    """
    values = tuple(config.classes) or tuple(sorted(classes))
    if not values:
        raise OptionError("The data names no class; say which values of the labels are meant (--classes).")
    if boxes and len(values) > 1:
        raise OptionError(f"MA-SAM with boxes learns one class, not {len(values)}; choose it (--classes).")
    if config.start_from is None:
        raise CheckpointError("MA-SAM is trained on SAM's own weights; give SAM's checkpoint (--start-from).")
    path = weights_of(config.start_from)
    state = load_state_dict(path)
    with reading_sam(path.name):
        network = start_from_sam(state, classes=len(values), image_size=config.image_size)
    return MaSamRecipe(config, network, rule=rule, values=values, boxes=boxes)


def turned_labels(labels: NDArray[Any], size: int) -> NDArray[Any]:
    """A slice of labels (X, Y) as `network_slice` turns its image, by the nearest voxel."""
    nearest = [np.round(np.linspace(0, n - 1, size)).astype(int) for n in labels.shape]
    return np.ascontiguousarray(labels[np.ix_(*nearest)].T[::-1, ::-1])


def box_around(target: NDArray[Any]) -> NDArray[np.float32]:
    """The rectangle x0, y0, x1, y1 of a stack's labels (n, S, S), half open."""
    held = VoxelBox.over(target)
    assert held is not None, "drawn stacks hold something"
    return np.concatenate([held.start[:0:-1], held.stop[:0:-1]]).astype(np.float32)


@torch.no_grad()
def _mean_dice(masks: Tensor, labels: Tensor) -> float:
    """The mean Dice of the classes that are there."""
    values = [int(value) for value in labels.unique() if value > 0]
    if not values:
        return float((masks == 0).float().mean())
    found = []
    for value in values:
        mask, truth = masks == value, labels == value
        found.append(float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()).clamp(min=1)))
    return float(np.mean(found))
