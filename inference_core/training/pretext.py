"""Three ways to learn an image encoder without labels (Medical SAM Adapter, arXiv:2304.12620, section 3.3).

Masked autoencoding (He et al. 2022), contrastive embedding mixup (e-Mix) and shuffled embedding prediction (ShED), as
losses over the embeddings of an image's patches.

Legend: N images, P patches of each, V voxels of a patch, C channels, M mixtures.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.1
_SMALL = 1e-6


def masked_reconstruction(predicted: Tensor, patches: Tensor, masked: Tensor) -> Tensor:
    """Mean squared error of predicted patches (N, P, V) on those that were masked, (N, P) bool.

    Each patch is told in its own mean and deviation, so that texture counts and not brightness.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    deviation = patches.var(dim=-1, unbiased=False, keepdim=True)
    wanted = (patches - mean) / torch.sqrt(deviation + _SMALL)
    errors = ((predicted - wanted) ** 2).mean(dim=-1)
    return (errors * masked).sum() / masked.sum().clamp(min=1)


def embedding_mixup(mixed: Tensor, originals: Tensor, shares: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """How far mixtures' embeddings (M, C) are from the originals' (N, C) in proportion to their shares (M, N).

    Cross-entropy of the shares, which add up to 1, with the softmax of cosine similarities over a temperature.
    """
    likeness = F.normalize(mixed, dim=-1) @ F.normalize(originals, dim=-1).T / temperature
    return -(shares * torch.log_softmax(likeness, dim=-1)).sum(dim=-1).mean()


def shuffled_prediction(logits: Tensor, moved: Tensor) -> Tensor:
    """Binary cross-entropy of which patches (N, P) are not where they were; both kinds weigh alike."""
    moved = moved.to(logits)
    share = moved.mean().clamp(0.01, 0.99)
    weight = torch.where(moved > 0.5, 0.5 / share, 0.5 / (1 - share))
    return F.binary_cross_entropy_with_logits(logits, moved, weight=weight)


def mixing_shares(count: int, rng: np.random.Generator) -> Tensor:
    """Shares (N, N) of N mixtures of N images: each is mostly of few images (Dirichlet, 0.5)."""
    return torch.from_numpy(rng.dirichlet(np.full(count, 0.5), size=count).astype(np.float32))


def shuffled(patches: Tensor, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Embeddings (N, P, C) of which a share has changed places with one another, and which ones (N, P) bool."""
    count = max(2, round(share * patches.shape[1]))
    order = torch.arange(patches.shape[1]).repeat(len(patches), 1)
    moved = torch.zeros(patches.shape[:2], dtype=torch.bool)
    for places, marks in zip(order, moved, strict=True):
        chosen = torch.randperm(patches.shape[1], generator=rng)[:count]
        places[chosen] = chosen.roll(1)
        marks[chosen] = True
    taken = order.to(patches.device)[..., None].expand_as(patches)
    return patches.gather(1, taken), moved.to(patches.device)


def masks(shape: tuple[int, int], share: float, rng: torch.Generator) -> Tensor:
    """Of each image's patches (N, P) the same share at random, bool."""
    order = torch.rand(shape, generator=rng).argsort(dim=-1)
    return order < round(share * shape[1])
