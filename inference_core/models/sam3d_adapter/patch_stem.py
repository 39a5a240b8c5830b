"""3DSAM-adapter's way from voxels to tokens, as the one linear map that it is.

The authors' code enlarges a crop four times, runs SAM's 2D patch convolution over three copies of each slice, and joins
16 slices by a depth-wise convolution. Enlarging by linear interpolation is linear too, so all of it is one convolution
of the crop: a kernel of 6 voxels a side every 4 voxels, the crop's outer voxels repeated once.

Legend: C channels, p voxels of an enlarged patch, s slices that a token joins, D H W the crop, d h w its tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.conv3d import convolve

ENLARGED = 4


def patch_tokens(image: Tensor, patches: nn.Conv2d, slices: nn.Conv3d) -> Tensor:
    """A crop (1, 1, D, H, W) to tokens (1, h, w, d, C) through the two convolutions, (3, p, p) and (1, 1, s) wide."""
    kernel, bias = fused(patches, slices)
    step = kernel.shape[-1] - 2
    padded = F.pad(image, (1,) * 6, mode="replicate")
    return convolve(padded, kernel, bias, stride=(step, step, step)).permute(0, 3, 4, 2, 1).contiguous()


def fused(patches: nn.Conv2d, slices: nn.Conv3d) -> tuple[Tensor, Tensor]:
    """The kernel (C, 1, 6, 6, 6) over (d, h, w) and the bias (C,) of the whole map."""
    assert patches.bias is not None
    assert slices.bias is not None
    weight, through = patches.weight, slices.weight.flatten(1)
    in_plane, along = _enlarging(weight.shape[-1], like=weight), _enlarging(through.shape[1], like=weight)
    rows = torch.einsum("cab,ai,bj->cij", weight.sum(dim=1), in_plane, in_plane)
    kernel = torch.einsum("cs,sd,cij->cdij", through, along, rows)[:, None]
    return kernel, patches.bias * through.sum(dim=1) + slices.bias


def _enlarging(size: int, *, like: Tensor) -> Tensor:
    """Linear enlarging as a matrix (size, size / 4 + 2): from voxels, one more on either side, to enlarged ones."""
    place = (torch.arange(size, device=like.device) + 0.5) / ENLARGED + 0.5
    first = place.floor().long()
    share = (place - first).to(like.dtype)[:, None]
    count = size // ENLARGED + 2
    return F.one_hot(first, count) * (1 - share) + F.one_hot(first + 1, count) * share
