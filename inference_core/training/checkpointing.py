"""Gradient checkpointing: a transformer block keeps its input alone, and is computed again on the way back."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(network: nn.Module) -> int:
    """Have every block of a list named `blocks` or `context` compute twice and remember little; how many there are."""
    blocks = blocks_of(network)
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks of every list named `blocks` or `context`."""
    return [
        block
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and name.rpartition(".")[2] in ("blocks", "context")
        for block in module
    ]
