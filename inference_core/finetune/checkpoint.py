"""What a training run leaves behind: weights to ship (fp16 safetensors) and a state to go on from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from inference_core.geometry.atomic import replacing


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as fp16 safetensors, atomically."""
    from safetensors.torch import save_file

    half = {name: value.to(torch.float16).contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        save_file(half, temporary)


def save_training_state(path: Path, network: nn.Module, ema: dict[str, Tensor]) -> None:
    """Write the network and its average in full precision, atomically."""
    with replacing(path) as temporary:
        torch.save({"network": network.state_dict(), "ema": ema}, temporary)
