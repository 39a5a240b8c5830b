"""What training minimizes: overlap, cross-entropy, and an honest estimate of the overlap.

Legend: B batch, D H W window voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTH = 1e-5
_IGNORED = -100


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


def dice_and_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """MONAI's DiceCE of one channel, as SAM-Med3D and Medical SAM Adapter train: both (B, 1, ...).

    1 - (2 sum(p t) + e) / (sum(p^2) + sum(t^2) + e) with e = 1e-5 for each sample, averaged, plus binary cross-entropy.
    """
    axes = tuple(range(2, logits.ndim))
    probability = torch.sigmoid(logits)
    both = (probability * target).sum(dim=axes)
    sizes = (probability**2).sum(dim=axes) + (target**2).sum(dim=axes)
    dice = 1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    return dice.mean() + F.binary_cross_entropy_with_logits(logits, target)


def class_dice_and_cross_entropy(logits: Tensor, labels: Tensor, *, dice_share: float = 0.8) -> Tensor:
    """MA-SAM's loss: logits (N, T, ...) of all classes with the background, labels (N, ...) from 0, -100 for ignored.

    0.2 cross-entropy + 0.8 Dice of the softmax, the background included, averaged over the classes; sums run over batch
    and space at once, denominators are squared, and 1e-5 is added above and below (specification 8).
    """
    kept = (labels != _IGNORED)[:, None]
    truth = F.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1).to(logits) * kept
    probability = torch.softmax(logits, dim=1) * kept
    axes = (0, *range(2, logits.ndim))
    both = (probability * truth).sum(dim=axes)
    sizes = (probability**2).sum(dim=axes) + (truth**2).sum(dim=axes)
    dice = 1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    entropy = F.cross_entropy(logits, labels, ignore_index=_IGNORED)
    return (1 - dice_share) * entropy + dice_share * dice.mean()


def foreground_dice_and_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """3DSAM-adapter's loss: logits (B, 2, ...) of background and foreground, target (B, ...) of 0 and 1.

    0.5 Dice of the foreground's softmax, 1e-5 added above and below, + 0.5 cross-entropy (specification 8).
    """
    probability, truth = torch.softmax(logits, dim=1)[:, 1].flatten(1), target.flatten(1).to(logits)
    both = (probability * truth).sum(dim=1)
    dice = 1 - (2 * both + _SMOOTH) / (probability.sum(dim=1) + truth.sum(dim=1) + _SMOOTH)
    return 0.5 * dice.mean() + 0.5 * F.cross_entropy(logits, target)


def weighted_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Medical SAM Adapter's loss in 2D: binary cross-entropy in which the target counts twice (specification 3.5)."""
    return F.binary_cross_entropy_with_logits(logits, target, pos_weight=logits.new_tensor(2.0))


@torch.no_grad()
def batch_dice(logits: Tensor, truth: Tensor) -> float:
    """The mean Dice of masks cut from logits (B, 1, ...) with targets of the same shape."""
    axes = tuple(range(2, logits.ndim))
    mask = (logits > 0).float()
    both = (mask * truth).sum(dim=axes)
    return float((2 * both / (mask.sum(dim=axes) + truth.sum(dim=axes)).clamp(min=1)).mean())
