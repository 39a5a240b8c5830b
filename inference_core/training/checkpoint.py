"""What a training run leaves behind: weights to ship (fp16 safetensors) and a state to go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.io.atomic import replacing
from inference_core.models.weights import load_content, load_state_dict

_STATE_KEYS = {"network", "ema", "optimizer", "progress", "torch_rng"}


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as fp16 safetensors, atomically.

    Raises:
        OutputError: the disk refuses them.
    """
    from safetensors.torch import save

    half = {name: value.to(torch.float16).contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(half))  # its own writer has no OSError where a disk is full


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


def save_content(path: Path, content: Mapping[str, Any]) -> None:
    """Write torch's own format, atomically: tensors, numbers and text alone, a run's state or a family's file.

    Raises:
        OutputError: the disk refuses it.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:  # torch's, of its archive, after the disk's
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_training_state(path: Path) -> dict[str, Any]:
    """The state that `save_content` wrote; nothing in the file is run.

    Raises:
        CheckpointError: the file is absent or damaged, or is not the state of a run that can go on.
    """
    state = load_content(path)
    if not isinstance(state, dict) or not state.keys() >= _STATE_KEYS:
        raise CheckpointError(f"'{path.name}' is not the state of a run that stopped; start from its weights instead.")
    return state
