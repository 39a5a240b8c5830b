"""3DSAM-adapter's training (arXiv:2306.13465; specification 8): one tumor, told by thirty clicks, half of the encoder.

The authors' validation pads crops with 0 HU; here it is the mean, as in their training and test.

Legend: B crops, P the crop's side, D H W its axes, N points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference_core.errors import CheckpointError, OptionError
from inference_core.models.registry import get_spec
from inference_core.models.sam3d_adapter.checkpoint import (
    config_for_sam,
    freeze_as_published,
    network_of,
    official_content,
    start_from_sam,
    state_from,
)
from inference_core.models.sam3d_adapter.network import Sam3DAdapterNetwork
from inference_core.models.sam3d_adapter.original import at_one_mm, cropped, slices_first, zooms_of
from inference_core.models.store import weights_of
from inference_core.training.case_recipe import CaseRecipe
from inference_core.training.checkpoint import save_content
from inference_core.training.config import TrainConfig
from inference_core.training.crop_augmentation import CropAugmentation
from inference_core.training.data.cases import Case
from inference_core.training.losses import batch_dice, foreground_dice_and_cross_entropy
from inference_core.training.recipe import (
    Batch,
    Draws,
    Group,
    Plan,
    Prepared,
    Step,
    check_scope,
    linear_to,
)
from inference_core.training.samples import Drawn, PreparedStore

PLAN = Plan(
    learning_rate=4e-4,
    epochs=500,
    batch=1,
    schedule=linear_to(0.01),
    # Three optimizers of the same rate are one with three groups.
    groups=(Group(r"^encoder\.", clip=1.0), Group(r"^decoder\.", clip=1.0), Group(r"^prompt_encoder\.", clip=1.0)),
    scopes=("published", "decoder"),
)
_ON_TARGET, _ANYWHERE = 10, 20
_IN_PLANE = ("sam3d_adapter_pancreas", "sam3d_adapter_colon")


class Sam3DAdapterRecipe(CaseRecipe):
    """Trains adapters, norms, necks, prompt encoder and decoder (specification 2.7), or the last two alone."""

    plan = PLAN

    def __init__(self, config: TrainConfig, network: Sam3DAdapterNetwork, *, rule: str, value: int) -> None:
        self.config, self.network, self.value = config, network, value
        scale = get_spec(rule).hounsfield
        assert scale is not None, "the registry gives this family its intensities"
        self.scale, self.size = scale, network.config.image_size
        self.store = PreparedStore.of(config, "sam3d_adapter", ("image", "label"), value=value)
        self._augmented = CropAugmentation(scale, size=self.size, in_plane=rule in _IN_PLANE)
        freeze_as_published(network)
        if check_scope(config.scope, PLAN) == "decoder":
            network.encoder.requires_grad_(False)

    def prepare(self, case: Case) -> Prepared:
        """A case at 1 mm, slices first: Hounsfield units (D, H, W), and each voxel's share of the target."""
        image, labels = case.read(), case.read_labels()
        order = slices_first(image.grid)
        zooms = zooms_of(image.grid)[list(order)]
        target = (labels.array == self.value).transpose(order)
        return {"image": at_one_mm(image.array.transpose(order), zooms), "label": at_one_mm(target, zooms)}

    def draw(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A crop, changed as the authors do it: image (1, P, P, P), target (P, P, P) of 0 and 1."""
        if not self._usable(prepared):
            return None
        image, target = self._augmented(prepared["image"], prepared["label"], rng)
        return {"image": image[None], "target": target}

    def plain(self, prepared: Prepared, rng: np.random.Generator) -> Drawn | None:
        """A crop around a voxel of the target, not changed."""
        if not self._usable(prepared):
            return None
        voxels = np.argwhere(prepared["label"] > 0.5)
        begin = voxels[int(rng.integers(len(voxels)))] - self.size // 2
        units = np.clip(prepared["image"], self.scale.low, self.scale.high)
        image = np.asarray((units - self.scale.mean) / self.scale.deviation, dtype=np.float32)
        crop = cropped(image, begin, size=self.size, beyond=0.0)
        target = cropped(prepared["label"], begin, size=self.size, beyond=0.0) > 0.5
        return {"image": crop[None], "target": target.astype(np.int64)}

    def step(self, batch: Batch, draws: Draws) -> Step:
        """Ten clicks on the target and, in training, twenty anywhere; one crop at a time, as the network reads them."""
        clicked = [
            _points(target, rng, anywhere=self.network.training)
            for target, rng in zip(batch["target"], draws.own, strict=True)
        ]
        return self.prompted(batch, clicked)

    def prompted(self, batch: Batch, points: Sequence[Tensor]) -> Step:
        """The step of crops whose points (N, 3), voxels (d, h, w), are given."""
        images, targets = batch["image"], batch["target"]
        found = [self.network(image[None], places) for image, places in zip(images, points, strict=True)]
        logits = torch.cat(found).float()
        margin = (logits[:, 1:] - logits[:, :1]).detach()
        dice = batch_dice(margin, targets[:, None].float())
        return Step(foreground_dice_and_cross_entropy(logits, targets), (dice,), margin > 0)

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write what the authors' train.py writes, unused parts included, for their programs to load."""
        save_content(path, official_content(weights, self.network.config))

    def _usable(self, prepared: Prepared) -> bool:
        return bool((prepared["label"] > 0.5).any() and (prepared["image"] > self.scale.low).any())


def build(config: TrainConfig, classes: Mapping[int, str], *, rule: str) -> Sam3DAdapterRecipe:
    """The recipe over SAM's checkpoint, or from an official file; `rule` names the model whose intensities are meant.

    Raises:
        CheckpointError: there is no such checkpoint.
        OptionError: there is no class, or several; or another window is asked for than the network has.
    """
    values = tuple(config.classes) or tuple(sorted(classes))
    if len(values) != 1:
        raise OptionError(f"3DSAM-adapter learns one class, not {len(values)}; choose it (--classes).")
    if config.start_from is None:
        raise CheckpointError(
            "3DSAM-adapter is trained on SAM's own weights; give sam_vit_b_01ec64.pth (--start-from)."
        )
    path = weights_of(config.start_from)
    state = state_from(path)
    if any(name.startswith("encoder_dict.") for name in state):
        network = network_of(state, name=path.name)
    else:
        network = start_from_sam(state, config_for_sam(state))
    if config.image_size not in (0, network.config.image_size):
        raise OptionError(
            f"These weights look at {network.config.image_size} voxels a side, and no other size can be asked of them; "
            "leave out --image_size."
        )
    return Sam3DAdapterRecipe(config, network, rule=rule, value=values[0])


def _points(target: Tensor, rng: np.random.Generator, *, anywhere: bool) -> Tensor:
    """Voxels (N, 3) of a crop (P, P, P): ten of the target with replacement, as far as it has any, then anywhere."""
    held = torch.nonzero(target).cpu().numpy()
    shape = np.array(target.shape)
    chosen = [held[rng.integers(len(held), size=_ON_TARGET)]] if len(held) else []
    if anywhere or not chosen:
        count = _ANYWHERE if anywhere else _ON_TARGET
        chosen.append(rng.integers(shape, size=(count, 3)))
    return torch.from_numpy(np.concatenate(chosen).astype(np.float32)).to(target.device)
