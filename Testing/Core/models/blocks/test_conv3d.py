"""Convolution blocks against PyTorch's own convolution, and the rearrangements against plain slicing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inference_core.models.blocks.conv3d import (
    DoublingConv3d,
    PlainConv3d,
    ResidualBlock,
    ScaledConv3d,
    TransformerBlock,
    channels_last,
    depth_to_space,
    fold_for_inference,
    space_to_depth,
)

LAYERS = [
    pytest.param(lambda: PlainConv3d(6, 10, 1), id="pointwise"),
    pytest.param(lambda: PlainConv3d(6, 10, 3, padding=1), id="3x3x3"),
    pytest.param(lambda: PlainConv3d(6, 6, 3, padding=1, groups=6), id="depthwise"),
    pytest.param(lambda: PlainConv3d(6, 10, 3, padding=2, dilation=2), id="dilated"),
    pytest.param(lambda: PlainConv3d(6, 10, 2, stride=2, bias=False), id="strided, no bias"),
    pytest.param(lambda: ScaledConv3d(6, 10, 3), id="scaled 3x3x3"),
    pytest.param(lambda: ScaledConv3d(6, 10, 2, stride=2), id="scaled and strided"),
]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A layer whose every parameter is random, so that none can be left out."""
    torch.manual_seed(3)
    layer = make()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.6)
    return layer


def by_pytorch(layer: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    weight = layer.standardized() if isinstance(layer, ScaledConv3d) else layer.weight
    bias = None if layer.bias is None else layer.bias.double()
    return F.conv3d(x.double(), weight.double(), bias, layer.stride, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make", LAYERS)
def test_the_fast_path_equals_pytorchs_convolution(make, batch, layout):
    layer = channels_last(seeded(make))
    x = torch.randn(batch, 6, 8, 10, 6).contiguous(memory_format=layout)
    with torch.inference_mode():
        fast, expected = layer(x), by_pytorch(layer, x)
    assert fast.shape == expected.shape
    assert (fast - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize("make", LAYERS)
def test_the_training_path_equals_it_too_and_reaches_every_parameter(make):
    layer = seeded(make)
    x = torch.randn(2, 6, 8, 8, 8, requires_grad=True)
    y = layer(x)
    assert (y - by_pytorch(layer, x)).abs().max() < 1e-4 * y.std()
    y.square().sum().backward()
    for gradient in [x.grad, *(parameter.grad for parameter in layer.parameters())]:
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 8), (2, 2, 4), (1, 1, 8)])
def test_a_scaled_convolution_pads_so_that_windows_keep_or_halve_their_size(kernel, stride, side):
    assert ScaledConv3d(6, 10, kernel, stride=stride)(torch.zeros(1, 6, 8, 8, 8)).shape == (1, 10, side, side, side)


def test_scaled_kernels_have_zero_mean_and_the_norm_of_their_gain():
    layer = seeded(lambda: ScaledConv3d(6, 10, 3))
    kernels = layer.standardized().flatten(1)
    assert kernels.mean(dim=1).abs().max() < 1e-6
    torch.testing.assert_close(kernels.norm(dim=1), layer.gain.flatten().abs(), rtol=1e-3, atol=0)


def test_scaled_kernels_do_not_change_when_the_weights_are_scaled_and_shifted():
    layer = seeded(lambda: ScaledConv3d(6, 10, 3))
    before = layer.standardized()
    layer.weight.data.mul_(5).add_(2)
    torch.testing.assert_close(layer.standardized(), before, rtol=1e-3, atol=1e-5)


def test_a_scaled_convolution_keeps_unit_variance():
    torch.manual_seed(0)
    layer = ScaledConv3d(32, 48, 3)
    with torch.inference_mode():
        inner = layer(torch.randn(2, 32, 12, 12, 12))[:, :, 1:-1, 1:-1, 1:-1]
    assert 0.9 < inner.std() < 1.1


def test_folded_kernels_give_what_unfolded_ones_give():
    network = seeded(lambda: nn.Sequential(ResidualBlock(6), ScaledConv3d(6, 10, 2, stride=2)))
    x = torch.randn(1, 6, 8, 8, 8)
    with torch.inference_mode():
        before = network(x)
        fold_for_inference(network)
        after = network(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert all(layer.folded is not None for layer in network.modules() if isinstance(layer, ScaledConv3d))


def test_folded_kernels_are_not_computed_again():
    network = seeded(lambda: ResidualBlock(6))
    x = torch.randn(1, 6, 4, 4, 4)
    fold_for_inference(network)
    with torch.inference_mode():
        before = network(x)
        network.first.gain.data.mul_(2)
        torch.testing.assert_close(network(x), before)


def test_folding_adds_nothing_to_the_weights_file():
    network = ResidualBlock(6)
    names = list(network.state_dict())
    fold_for_inference(network)
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_doubling_equals_pytorchs_transposed_convolution_and_stays_channels_last(layout):
    layer, plain = seeded(lambda: DoublingConv3d(6, 10)), nn.ConvTranspose3d(6, 10, 2, stride=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, 3, 5, 4).contiguous(memory_format=layout)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-4, atol=1e-5)
    assert layer(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_doubling_is_trained_as_a_transposed_convolution_is():
    layer, plain = seeded(lambda: DoublingConv3d(6, 10)), nn.ConvTranspose3d(6, 10, 2, stride=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 6, 3, 3, 3)
    for either in (layer, plain):
        either(x).square().sum().backward()
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-3)


def test_a_folded_block_leaves_what_it_is_given_as_it_was():
    network = seeded(lambda: ResidualBlock(6))
    fold_for_inference(network)
    x = torch.randn(1, 6, 4, 4, 4)
    before = x.clone()
    with torch.inference_mode():
        network(x)
    assert torch.equal(x, before)


def test_channels_last_changes_the_layout_and_no_value():
    network = nn.Sequential(PlainConv3d(4, 8, 3), nn.Linear(8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert channels_last(network) is network
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_residual_block_of_scale_zero_does_nothing():
    block = seeded(lambda: ResidualBlock(6))
    x = torch.randn(2, 6, 6, 6, 6)
    assert not torch.allclose(block(x), x, atol=0.1)
    nn.init.zeros_(block.scale)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("make", [lambda: ResidualBlock(8), lambda: TransformerBlock(8, 2)])
def test_a_window_gives_the_same_alone_and_among_others(make):
    block = seeded(make)
    x = torch.randn(3, 20, 8) if isinstance(block, TransformerBlock) else torch.randn(3, 8, 6, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(block(x)[1:2], block(x[1:2]), rtol=1e-4, atol=1e-4)


def test_a_transformer_block_sees_all_tokens_and_no_order():
    block = seeded(lambda: TransformerBlock(8, 2))
    tokens, order = torch.randn(2, 12, 8), torch.randperm(12)
    with torch.inference_mode():
        torch.testing.assert_close(block(tokens[:, order]), block(tokens)[:, order], rtol=1e-4, atol=1e-4)
        changed = tokens.clone()
        changed[:, 0] = -changed[:, 0]
        assert (block(changed)[:, -1] - block(tokens)[:, -1]).abs().max() > 1e-3


def test_space_to_depth_puts_each_second_voxel_into_a_channel_of_its_own():
    x = torch.randn(2, 3, 4, 6, 8)
    channels = space_to_depth(x).reshape(2, 3, 2, 2, 2, 2, 3, 4)
    for a, b, c in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist():
        assert torch.equal(channels[:, :, a, b, c], x[:, :, a::2, b::2, c::2])


def test_depth_to_space_is_the_inverse_of_space_to_depth():
    x, y = torch.randn(2, 3, 4, 6, 8), torch.randn(2, 16, 3, 4, 5)
    assert torch.equal(depth_to_space(space_to_depth(x)), x)
    assert torch.equal(space_to_depth(depth_to_space(y)), y)
