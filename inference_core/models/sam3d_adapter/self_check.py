"""Whether a checkpoint of 3DSAM-adapter is what it should be, as far as it can be told without a case of one's own.

The files that the authors first released, in the summer of 2023, came from an earlier form of the network. They have
the same tensors, load without complaint and segment nothing. Two things tell them apart: which tensors the training
changed, and in which order of the four feature maps the network finds a lesion. The second is tried on a synthetic one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_core.models.sam3d_adapter.network import VOXELS_PER_TOKEN, Sam3DAdapterNetwork

_NORM = "transformer.layers.0.norm1.weight"
_CLEARLY_BETTER = 0.2
_HARDLY_ANYTHING = 0.1


@dataclass(frozen=True)
class OrderCheck:
    """Overlap (Dice) with a synthetic lesion when the maps are taken as published, and in reverse as before that."""

    published: float
    reversed: float


def training_cautions(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What the tensors of a flat checkpoint say about how it was trained, one sentence each; none if all is well.

    The published training script never reaches three of the four prompt encoders and freezes the attention's scales, so
    that the one keep their first norms and the other their ones; and it tunes the depth positions, which start as ones.
    """
    cautions = []
    others = [str(n) for n in range(3) if not _untouched(state.get(f"feature_dict.{n}.{_NORM}"))]
    if others:
        cautions.append(
            f"Prompt encoders {', '.join(others)} of this file were trained, which the authors' final code never does: "
            "it is probably from before August 2023 and may segment nothing; get the file released after that."
        )
    if _untouched(state.get(f"feature_dict.3.{_NORM}"), where_absent=False):
        cautions.append("The prompt encoder of this file was never trained, so that clicks mean nothing to it.")
    if _untouched(state.get("encoder_dict.depth_embed"), where_absent=False):
        cautions.append("The depth positions of this file were never trained; try it on a case you know first.")
    scales = [value for key, value in state.items() if key.endswith(".attn.lr")]
    if any(float(value) != 1 for value in scales):
        cautions.append(
            "The attention's scales of this file were trained, which the authors' final code never does; "
            "try it on a case you know first."
        )
    return tuple(cautions)


def order_caution(found: OrderCheck) -> tuple[str, ...]:
    """What the synthetic lesion says, one sentence; none if the file finds it in the published order."""
    if found.reversed > found.published + _CLEARLY_BETTER:
        return (
            f"This file finds a synthetic lesion in the order of feature maps used before August 2023 (overlap "
            f"{found.reversed:.2f}) rather than in the published one ({found.published:.2f}); "
            "get the file released after that.",
        )
    if found.published < _HARDLY_ANYTHING:
        return (
            f"This file does not find a synthetic lesion (overlap {found.published:.2f}), as those from before August "
            "2023 do not; try it on a case you know first.",
        )
    return ()


@torch.inference_mode()
def check_order(network: Sam3DAdapterNetwork) -> OrderCheck:
    """Click on a darker and on a brighter lesion, on a small crop, in either order; the better of the two counts.

    The crop is one of the encoder's cubes, a 64th of a usual one, and so is the time it takes.
    """
    device, size = network.encoder.pos_embed.device, VOXELS_PER_TOKEN * network.config.cube
    overlaps = []
    for contrast in (-1.2, 1.2):
        image, target, click = (part.to(device) for part in synthetic_lesion(size, contrast=contrast))
        maps = network.encoder(image)
        overlaps.append([_overlap(network, image, order, click, target) for order in (maps, maps[::-1])])
    published, backwards = (max(column) for column in zip(*overlaps, strict=True))
    return OrderCheck(published, backwards)


def synthetic_lesion(size: int, *, contrast: float) -> tuple[Tensor, Tensor, Tensor]:
    """A ball in an organ in fat, as the network is shown it: crop (1, 1, D, H, W), lesion (D, H, W), click (1, 3).

    `size` voxels a side; `contrast` of the lesion to the organ in deviations of the training data.
    """
    generator = torch.Generator().manual_seed(8)
    place = torch.stack(torch.meshgrid(*[torch.arange(size) / size] * 3, indexing="ij"))
    middle, center = torch.full((3, 1, 1, 1), 0.5), torch.tensor([0.45, 0.52, 0.56]).view(3, 1, 1, 1)
    organ = (place - middle).norm(dim=0) < 0.42
    lesion = (place - center).norm(dim=0) < 0.17
    image = -1.8 + organ * (1.8 - contrast / 2) + lesion * contrast
    image = image + 0.2 * torch.randn(image.shape, generator=generator)
    return image[None, None], lesion, (center.flatten() * size).round()[None]


def _overlap(
    network: Sam3DAdapterNetwork, image: Tensor, maps: Sequence[Tensor], click: Tensor, target: Tensor
) -> float:
    *others, last = maps
    logits = network.decoder([*others, network.prompt_encoder(last, click)], image)
    mask = logits[0, 1] > logits[0, 0]
    return float(2 * (mask & target).sum() / (mask.sum() + target.sum()))


def _untouched(tensor: Tensor | None, *, where_absent: bool = True) -> bool:
    """Whether a tensor that starts as ones still is; a flat file may lack the parts that are never used."""
    return where_absent if tensor is None else bool((tensor == 1).all())
