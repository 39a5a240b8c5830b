"""Counting what a training step keeps: by hand for small networks, and as a step on real numbers keeps it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork
from inference_core.training.activations import FULL_SIZE, counted, fixed_bytes


class TwoBlocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8, bias=False)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x.sum()


def test_a_case_worked_by_hand():
    """Two rows: the first layer keeps 8 numbers; each block its input (16) and, for ReLU, its result (16)."""
    with torch.device("meta"):
        network = TwoBlocks()
        kept = counted(network, lambda: network(torch.empty(2, 4)))
    assert kept.plain == 4 * (8 + 16 + 16 + 16)
    # The first block's result is the second's input.
    assert kept.checkpointed == 4 * (8 + 16 + 16 + 32)
    assert fixed_bytes(network) == (4 + 2 + 3 * 4) * (32 + 2 * 72)


def test_the_meta_device_keeps_what_real_numbers_would():
    config = Sam3DAdapterConfig(
        grid=8, width=32, heads=4, cube=4, rows=12 * (15,), out=16, prompt_heads=4, prompt_hidden=32, head=8
    )
    found = []
    for device in ("meta", "cpu"):
        with torch.device(device):
            network = Sam3DAdapterNetwork(config)
            image, points = torch.rand(1, 1, 32, 32, 32), torch.rand(3, 3)
            found.append(counted(network, lambda network=network, given=(image, points): network(*given).sum()))
    meta, real = found
    assert meta.plain == real.plain
    assert meta.checkpointed == real.checkpointed


@pytest.mark.parametrize("name", ["sam3d_adapter", "medical_sam_adapter", "medical_sam_adapter_3d", "sam"])
def test_a_step_at_full_size_fits_8_gb_with_checkpointing(name):
    with torch.device("meta"):
        network, forward = FULL_SIZE[name]()
        kept = counted(network.train(), forward)
    assert fixed_bytes(network) + kept.checkpointed < 8e9
    assert kept.checkpointed <= kept.plain
