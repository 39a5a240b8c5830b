"""What a training run leaves behind: weights to ship (fp16 safetensors) and a state to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from inference_core.io.atomic import replacing
from inference_core.models.weights import load_state_dict


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as fp16 safetensors, atomically."""
    from safetensors.torch import save_file

    half = {name: value.to(torch.float16).contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        save_file(half, temporary)


def save_mean(path: Path, runs: Sequence[Path]) -> None:
    """Write the mean, weight by weight, of runs that went on from one another (Wortsman et al. 2022, model soups).

    Raises:
        CheckpointError: a file is damaged.
        ValueError: there is no file, or they are of different networks.
    """
    states = [load_state_dict(run) for run in runs]
    if not states or any(state.keys() != states[0].keys() for state in states):
        raise ValueError("a mean needs weights of one network")
    save_weights(path, {name: torch.stack([state[name].float() for state in states]).mean(dim=0) for name in states[0]})


def save_training_state(path: Path, network: nn.Module, ema: dict[str, Tensor]) -> None:
    """Write the network and its average in full precision, atomically."""
    with replacing(path) as temporary:
        torch.save({"network": network.state_dict(), "ema": ema}, temporary)
