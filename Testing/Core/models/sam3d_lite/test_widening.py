"""Weights from before strokes go on as they were."""

from __future__ import annotations

import pytest
import torch

from inference_core.models.blocks.conv3d import ScaledConv3d
from inference_core.models.sam3d_lite.model import normalize
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.prompt_maps import PROMPT_CHANNELS, DensePrompts
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.weights import load_strict

TINY = LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8)


def test_kernels_are_applied_as_before_and_the_new_inputs_not_at_all():
    torch.manual_seed(0)
    old = ScaledConv3d(PROMPT_CHANNELS + 2, 8, 3)
    with torch.no_grad():
        old.gain.uniform_(-2, 2)
    state = {f"decoder.prompt.{name}": value for name, value in old.state_dict().items()}
    new = ScaledConv3d(PROMPT_CHANNELS + 2 + STROKE_CHANNELS, 8, 3)
    wide = widened(state, STROKE_CHANNELS)
    new.load_state_dict({name.removeprefix("decoder.prompt."): value for name, value in wide.items()})
    kernels = new.standardized()
    torch.testing.assert_close(kernels[:, : PROMPT_CHANNELS + 2], old.standardized(), atol=1e-6, rtol=1e-5)
    assert kernels[:, PROMPT_CHANNELS + 2 :].abs().max() < 1e-6
    assert torch.equal(new.bias, old.bias)


def test_a_click_is_answered_the_same_whatever_the_new_inputs_show():
    torch.manual_seed(0)
    network = LiteNetwork(TINY)
    prompt = ScaledConv3d(PROMPT_CHANNELS + 2, 8, 3)
    state = {**network.state_dict(), **{f"decoder.prompt.{n}": v for n, v in prompt.state_dict().items()}}
    load_strict(network, widened(state, STROKE_CHANNELS), name="a.pth")
    image = normalize(torch.randn(1, 16, 16, 16))
    none = torch.zeros(1, 1, 8, 8, 8)
    points, labels = torch.full((1, 1, 3), 7.0), torch.ones(1, 1, dtype=torch.long)
    plain = DensePrompts(points, labels, none, torch.full((1, 1, 3), 7.5), none)
    line = torch.zeros(1, STROKE_CHANNELS, 8, 8, 8)
    line[:, 0] = torch.rand(8, 8, 8)
    drawn = DensePrompts(points, labels, none, torch.full((1, 1, 3), 7.5), none, line)
    with torch.no_grad():
        torch.testing.assert_close(network(image, plain)[0], network(image, drawn)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("state", [{}, {"other": torch.zeros(2)}, LiteNetwork(TINY).state_dict()])
def test_any_other_state_is_left_as_it_is(state):
    assert widened(state, STROKE_CHANNELS) is state
