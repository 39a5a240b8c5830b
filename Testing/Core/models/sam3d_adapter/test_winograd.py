"""The wide convolution against the plain one in double precision, and where it may not take its own way."""

import pytest
import torch
import torch.nn.functional as F

from inference_core.models.sam3d_adapter.winograd import WideConv3d, wide_convolution


@pytest.mark.parametrize("shape", [(8, 6, 10), (12, 5, 7), (4, 3, 3), (10, 8, 8)])
@pytest.mark.parametrize("channels", [(3, 5), (64, 16)])
def test_it_is_the_plain_convolution(shape, channels):
    """Of one tile, of tiles that do not fill the room, and of a size that is no whole number of tiles."""
    inputs, outputs = channels
    x = torch.randn(1, inputs, *shape, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(outputs, inputs, 3, 3, 3, generator=torch.Generator().manual_seed(2)) / (27 * inputs) ** 0.5
    wanted = F.conv3d(x.double(), weight.double(), padding=1)
    with torch.inference_mode():
        assert (wide_convolution(x, weight) - wanted).abs().max() < 5e-6


def test_memory_that_is_not_contiguous_is_read_as_it_lies():
    x = torch.randn(1, 8, 6, 4, 7).permute(0, 4, 1, 2, 3)
    weight = torch.randn(5, 7, 3, 3, 3)
    with torch.inference_mode():
        found = wide_convolution(x, weight.transpose(3, 4))
    assert (found - F.conv3d(x.double(), weight.transpose(3, 4).double(), padding=1)).abs().max() < 1e-4


def test_gradients_reach_a_layer_that_is_trained():
    torch.manual_seed(4)
    layer = WideConv3d(3, 4)
    x = torch.randn(1, 3, 8, 4, 4, requires_grad=True)
    layer(x).square().sum().backward()
    assert layer.weight.grad.abs().max() > 0
    assert x.grad.abs().max() > 0


def test_several_images_and_double_precision_are_taken_too():
    x, weight = torch.randn(2, 3, 8, 4, 4, dtype=torch.float64), torch.randn(4, 3, 3, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        layer = WideConv3d(3, 4).double()
        layer.weight.copy_(weight)
    assert torch.allclose(layer(x), F.conv3d(x, weight, padding=1))
