"""Attention between windows without the tokens beyond the grid gives what it gives with them, one by one."""

import pytest
import torch
import torch.nn.functional as F

from inference_core.models.blocks.sam_attention import cut_windows, joined_windows
from inference_core.models.medical_sam_adapter.window_depth import attended_between_windows


def padded(qkv, *, slices, side, heads, beyond):
    """As it is defined: cut whole windows, let the tokens at a place attend to each other, drop what is beyond."""
    entries = cut_windows(qkv, side, beyond)
    windows = len(entries) // len(qkv)
    groups = entries.unflatten(0, (-1, slices * windows)).permute(0, 2, 3, 1, 4)
    q, k, v = groups.unflatten(4, (3, heads, -1)).permute(4, 0, 1, 2, 5, 3, 6)
    attended = F.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v
    return joined_windows(attended.movedim(3, 4).flatten(4).permute(0, 3, 1, 2, 4).flatten(0, 1), qkv.shape[1:3])


@pytest.mark.parametrize("shape", [(16, 16), (14, 14), (9, 9), (28, 9), (15, 27)])
@pytest.mark.parametrize("slices", [1, 2, 4])
def test_tokens_beyond_the_grid_are_one_key(shape, slices):
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(4, *shape, 3 * 24, generator=generator, dtype=torch.float64)
    beyond = torch.randn(3 * 24, generator=generator, dtype=torch.float64)
    asked = {"slices": slices, "side": 14, "heads": 3, "beyond": beyond}
    assert torch.allclose(attended_between_windows(qkv, **asked), padded(qkv, **asked), atol=1e-12)
