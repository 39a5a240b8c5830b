"""Losses against their formulas in numpy, and what they ask of a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference_core.training.losses import mask_loss, quality_loss


@pytest.fixture
def a_target() -> torch.Tensor:
    """Two windows, a larger and a very small target."""
    target = torch.zeros(2, 1, 16, 16, 16)
    target[0, 0, 2:9, 3:9, 4:12] = 1
    target[1, 0, 5:7, 5:7, 5:7] = 1
    return target


def confident(target: torch.Tensor, logit: float = 20.0) -> torch.Tensor:
    return logit * (2 * target - 1)


def by_hand(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean soft Dice, half the cross-entropy and half the cross-entropy balanced between inside and outside."""
    dice, entropies, balanced = [], [], []
    for z, t in zip(logits, target, strict=True):
        p = 1 / (1 + np.exp(-z))
        dice.append(1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
        entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
        share = np.clip(t.mean(), 0.02, 0.5)
        weight = np.minimum(np.where(t > 0.5, 0.5 / share, 0.5 / (1 - share)), 6)
        entropies.append(entropy.mean())
        balanced.append((weight * entropy).mean())
    return float(np.mean(dice) + 0.5 * np.mean(entropies) + 0.5 * np.mean(balanced))


def test_the_mask_loss_is_dice_and_cross_entropy(a_target):
    logits = torch.randn(a_target.shape, generator=torch.Generator().manual_seed(0))
    expected = by_hand(logits.double().numpy(), a_target.double().numpy())
    assert float(mask_loss(logits, a_target)) == pytest.approx(expected, rel=1e-4)


def test_a_right_and_certain_mask_costs_nothing_and_a_wrong_one_much(a_target):
    assert float(mask_loss(confident(a_target), a_target)) < 1e-3
    assert float(mask_loss(confident(1 - a_target), a_target)) > 10


def test_logits_are_drawn_towards_the_target_everywhere(a_target):
    logits = torch.zeros(a_target.shape, requires_grad=True)
    mask_loss(logits, a_target).backward()
    assert (logits.grad[a_target > 0.5] < 0).all()
    assert (logits.grad[a_target < 0.5] > 0).all()


def test_missing_a_small_target_costs_nearly_as_much_as_missing_a_large_one(a_target):
    nothing = torch.full((1, 1, 16, 16, 16), -5.0)
    large, small = (float(mask_loss(nothing, target[None])) for target in a_target)
    assert small > 0.4 * large
    assert float(torch.nn.functional.binary_cross_entropy_with_logits(nothing[0], a_target[1])) < 0.02


def whole_of(target: torch.Tensor) -> torch.Tensor:
    return target.sum(dim=(1, 2, 3, 4))


@pytest.mark.parametrize("outside", [0, 150])
def test_the_right_quality_is_the_iou_with_the_whole_target(a_target, outside):
    """What lies outside the window is missed: a window too narrow for its target cannot be right."""
    logits, whole = confident(torch.roll(a_target, 2, dims=2), logit=0.5), whole_of(a_target) + outside
    a, b = logits.numpy() > 0, a_target.numpy() > 0.5
    iou = torch.tensor([(p & t).sum() / ((p | t).sum() + outside) for p, t in zip(a, b, strict=True)])
    assert 0.1 < iou[0] < 0.9
    quality = torch.logit(iou.float().clamp(1e-6, 1 - 1e-6)).requires_grad_()
    quality_loss(quality, logits, a_target, whole).backward()
    assert quality.grad.abs().max() < 1e-6
    for wrong in (-0.5, 0.5):
        assert quality_loss(quality + wrong, logits, a_target, whole) > quality_loss(quality, logits, a_target, whole)


def test_a_whole_that_rounds_to_less_than_the_window_shows_is_no_gain(a_target):
    logits, quality = confident(a_target), torch.zeros(2)
    exact = quality_loss(quality, logits, a_target, whole_of(a_target))
    assert quality_loss(quality, logits, a_target, whole_of(a_target) - 3.0) == exact


def test_the_quality_loss_does_not_bend_the_mask(a_target):
    logits = torch.randn(a_target.shape, requires_grad=True)
    quality_loss(torch.zeros(2, requires_grad=True), logits, a_target, whole_of(a_target)).backward()
    assert logits.grad is None


def test_an_empty_answer_to_an_empty_target_gives_finite_losses():
    nothing = torch.full((1, 1, 4, 4, 4), -3.0)
    empty = torch.zeros(1, 1, 4, 4, 4)
    assert torch.isfinite(mask_loss(nothing, empty))
    assert torch.isfinite(quality_loss(torch.zeros(1), nothing, empty, whole_of(empty)))
