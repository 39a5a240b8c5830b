"""The fused stem against the steps it stands for: enlarge four times, patch convolution, slice convolution."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inference_core.models.sam3d_adapter.patch_stem import patch_tokens


@pytest.fixture
def the_two_convolutions():
    torch.manual_seed(1)
    return nn.Conv2d(3, 20, 16, stride=16), nn.Conv3d(20, 20, (1, 1, 16), stride=(1, 1, 16), groups=20)


@pytest.mark.parametrize("shape", [(32, 32, 32), (16, 24, 8)])
def test_one_convolution_is_the_whole_chain(the_two_convolutions, shape):
    patches, slices = the_two_convolutions
    image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(2))
    enlarged = F.interpolate(image.expand(1, 3, *shape), scale_factor=4, mode="trilinear", align_corners=False)
    embedded = patches(enlarged[0].transpose(0, 1))
    wanted = slices(embedded.permute(1, 2, 3, 0)[None]).permute(0, 2, 3, 4, 1)
    found = patch_tokens(image, patches, slices)
    assert found.shape == (1, shape[1] // 4, shape[2] // 4, shape[0] // 4, 20)
    assert (found - wanted).abs().max() < 2e-6 * wanted.abs().max() + 3e-6
    with torch.inference_mode():
        assert (patch_tokens(image, patches, slices) - wanted).abs().max() < 2e-6 * wanted.abs().max() + 3e-6


def test_the_slice_convolution_can_be_trained_through_it(the_two_convolutions):
    patches, slices = the_two_convolutions
    patch_tokens(torch.randn(1, 1, 8, 8, 8), patches, slices).square().sum().backward()
    assert slices.weight.grad.abs().max() > 0
