"""Weights made before the network read strokes go on as they were: the new inputs start at zero."""

from __future__ import annotations

import torch
from torch import Tensor

from inference_core.models.sam3d_lite.prompt_maps import PROMPT_CHANNELS

_KERNELS, _GAIN = "decoder.prompt.weight", "decoder.prompt.gain"
_WITHOUT_STROKES = PROMPT_CHANNELS + 2
_EPSILON = 1e-4


def widened(state: dict[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The state with `channels` further inputs of the prompt maps that change no answer; any other state as it is.

    Kernels are standardized over all their inputs (`blocks.conv3d.ScaledConv3d`), so zeros alone would change them:
    the standardized kernels take the place of the raw ones, and the gain is set so that they are kept.
    """
    kernels, gain = state.get(_KERNELS), state.get(_GAIN)
    if kernels is None or gain is None or kernels.ndim != 5 or kernels.shape[1] != _WITHOUT_STROKES:
        return state
    over, fan_in = (1, 2, 3, 4), kernels[0].numel()
    variance, mean = torch.var_mean(kernels, dim=over, keepdim=True, unbiased=False)
    applied = (kernels - mean) * (gain * torch.rsqrt(variance * fan_in + _EPSILON))
    power = applied.square().sum(dim=over, keepdim=True)
    silent = applied.new_zeros(len(applied), channels, *applied.shape[2:])
    return {**state, _KERNELS: torch.cat([applied, silent], dim=1), _GAIN: torch.sqrt(power + _EPSILON)}
