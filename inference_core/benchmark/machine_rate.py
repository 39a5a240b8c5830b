"""How many operations this machine does in a second at best, and how many a network takes.

Their quotient is the least time in which the network can run in float32 on one thread, whatever is done to it short of
leaving work out: what it is measured against where it is asked how far from the end it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from inference_core.models.blocks.layers import linear

# Of the shapes in a ViT-B; larger ones were measured no faster.
_TOKENS, _INPUTS, _OUTPUTS, _REPEATS = 4096, 3072, 3072, 5


@torch.inference_mode()
def matrix_rate() -> float:
    """Operations a CPU second of one large matrix product in float32, on the threads there are; the best of some."""
    layer, x = nn.Linear(_INPUTS, _OUTPUTS, bias=False), torch.randn(_TOKENS, _INPUTS)
    seconds = []
    for _ in range(_REPEATS):
        start = time.process_time()
        linear(x, layer)
        seconds.append(time.process_time() - start)
    return 2 * _TOKENS * _INPUTS * _OUTPUTS / min(seconds)


@torch.inference_mode()
def operations_of(call: Callable[[], Any]) -> int:
    """The multiplications and additions in the matrix products, convolutions and attention of a call."""
    counter = FlopCounterMode(display=False, custom_mapping=_ONE_DNN)
    # By layers it cannot count where one reads a parameter without gradients.
    counter.mod_tracker = cast("Any", _Whole())
    with counter:
        call()
    return int(counter.get_total_flops())


class _Whole(AbstractContextManager["_Whole"]):
    """Counts all operations for the whole call."""

    parents = frozenset({"Global"})

    def __exit__(self, *_: object) -> None:
        return


def _of_linear(x: Any, weight: Any, *_: Any, **_kwargs: Any) -> int:
    """Tokens (..., inputs) by a weight (outputs, inputs)."""
    return 2 * int(torch.Size(x).numel()) * int(weight[0])


def _of_convolution(x: Any, weight: Any, *_: Any, out_shape: Any, **_kwargs: Any) -> int:
    """Each voxel of the result (B, C, ...) reads a kernel (C, inputs, ...)."""
    return 2 * int(torch.Size(out_shape).numel()) * int(torch.Size(weight[1:]).numel())


def _of_attention(q: Any, k: Any, v: Any, *_: Any, **_kwargs: Any) -> int:
    """Queries (B, heads, m, c) to keys and values (B, heads, n, c)."""
    return 2 * int(torch.Size(q[:-1]).numel()) * int(k[-2]) * (int(k[-1]) + int(v[-1]))


_ONE_DNN: dict[Any, Any] = {
    torch.ops.mkldnn._linear_pointwise: _of_linear,
    torch.ops.aten.mkldnn_convolution: _of_convolution,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _of_attention,
}
"""What PyTorch's counter does not know, by shapes."""
