"""What training minimizes: overlap, cross-entropy, and an honest estimate of the overlap.

Legend: B batch, D H W window voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy, both (B, 1, D, H, W); small targets weigh as much as large ones."""
    axes = (1, 2, 3, 4)
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum(dim=axes)
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=axes) + target.sum(dim=axes) + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    share = target.mean(dim=axes, keepdim=True).clamp(0.02, 0.5)
    weight = torch.where(target > 0.5, 0.5 / share, 0.5 / (1 - share)).clamp(max=6.0)
    return dice.mean() + 0.5 * entropy.mean() + 0.5 * (weight * entropy).mean()


def quality_loss(quality: Tensor, logits: Tensor, target: Tensor, whole: Tensor) -> Tensor:
    """Cross-entropy between the quality logit (B,) and the IoU of the thresholded mask with the whole target.

    `whole` (B,) counts the target's voxels outside the window too: a window too narrow for its target cannot be right,
    which is what the choice of a first click's scale needs to know.
    """
    with torch.no_grad():
        mask, truth = logits > 0, target > 0.5
        both = (mask & truth).sum(dim=(1, 2, 3, 4))
        outside = (whole - truth.sum(dim=(1, 2, 3, 4))).clamp(min=0)
        either = (mask | truth).sum(dim=(1, 2, 3, 4)).clamp(min=1) + outside
    return F.binary_cross_entropy_with_logits(quality, both / either)
