"""Low-rank adapters (LoRA, Hu et al. 2021) on attention's queries and values: trained beside frozen weights.

They are added into the weights when a file is written, which therefore has the layout it came in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

RANK = 4
_ORIGINAL, _DOWN, _UP = (f".parametrizations.weight.{part}" for part in ("original", "0.down", "0.up"))


class LowRank(nn.Module):
    """W (3C, C) plus a product of rank r on the rows of queries and values; nothing at first."""

    def __init__(self, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(2, rank, width) / rank)
        self.up = nn.Parameter(torch.zeros(2, width, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return _added(weight, self.down, self.up)


def adapt_attention(network: nn.Module, *, rank: int = RANK) -> None:
    """Freeze a network, and put low-rank adapters on every `qkv` of its image encoder."""
    network.requires_grad_(False)
    for name, layer in list(network.named_modules()):
        if name.endswith(".qkv") and isinstance(layer, nn.Linear):
            parametrize.register_parametrization(layer, "weight", LowRank(layer.in_features, rank))


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names they had before, the adapters added in; others are as they are."""
    plain = {}
    for name, value in weights.items():
        place = name.removesuffix(_ORIGINAL)
        if place != name:
            plain[f"{place}.weight"] = _added(value, weights[place + _DOWN], weights[place + _UP]).detach()
        elif not name.endswith((_DOWN, _UP)):
            plain[name] = value.detach()
    return plain


def _added(weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
    queries, values = up @ down
    return weight + torch.cat([queries, torch.zeros_like(queries), values])
