"""What a weights file holds: the weights found under a training script's wrapping, and checked before they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.models.mapped_weights import mapped_weights

Take = Callable[[Tensor], Tensor]
Instead = Callable[[str, Tensor, Take], Tensor | None]
"""A tensor's name, the tensor as it lies in the file, and what reads it or a part of it into memory of its own, to what
is kept in its place; None for itself."""

_WRAPPERS = ("model_state_dict", "state_dict", "model", "network", "net")
_PREFIXES = ("module.", "_orig_mod.")
# What the profiler thop leaves among a network's buffers.
_COUNTERS = ("total_ops", "total_params")
_MOST_BYTES = 12 * 10**9
_LARGEST = torch.finfo(torch.float32).max
# Half precision takes twice the room once it is widened, and tied weights are stored once.
_MOST_GROWTH, _SLACK_BYTES = 4, 2**20


def found_in(content: Any) -> dict[str, Tensor]:
    """The tensors by name, from under any known wrapper; empty where there are none, or other things among them."""
    seen: set[int] = set()
    while isinstance(content, dict) and id(content) not in seen:
        seen.add(id(content))
        inner = (content[key] for key in _WRAPPERS if isinstance(content.get(key), dict))
        content = next(inner, content)
    if not isinstance(content, dict):
        return {}
    named = all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    return bare(content) if named else {}


def bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state without the prefixes that wrappers of networks put before all names, and without profilers' counters."""
    kept = {name: value for name, value in state.items() if name.rpartition(".")[2] not in _COUNTERS}
    while prefix := next((start for start in _PREFIXES if kept and all(name.startswith(start) for name in kept)), ""):
        kept = {name.removeprefix(prefix): value for name, value in kept.items()}
    return kept


def sound(
    state: dict[str, Tensor], path: Path, *, most_bytes: int | None = None, instead: Instead | None = None
) -> dict[str, Tensor]:
    """Weights as they can be used, in memory of their own, half precision widened to float32; `state` is used up.

    Sizes are looked at before anything is read: a file of some bytes can name tensors of any size. `path` is where the
    tensors come from, and may be mapped; `most_bytes` is what they may take. `instead` may make a smaller tensor of one
    that is not needed as it is.

    Raises:
        CheckpointError: a tensor is not a plain one, holds NaN or infinity, all are zero, or there are more of them
            than allowed.
    """
    _check_sizes(state, path, most_bytes)
    taken = {}
    with mapped_weights(path) as file:
        # One after another, so that what a tensor was made of is let go before the next one is made.
        for key in list(state):
            value = state.pop(key)
            smaller = None if instead is None else instead(key, value, file.taken)
            taken[key] = _widened(file.taken(value)) if smaller is None else smaller
            del value
            _check_finite(key, taken[key], path.name)
    _check_written(taken, path.name)
    return taken


def _check_sizes(state: Mapping[str, Tensor], path: Path, most_bytes: int | None) -> None:
    for key, value in state.items():
        _check_plain(key, value, path.name)
    limit = min(_MOST_BYTES if most_bytes is None else most_bytes, _MOST_GROWTH * path.stat().st_size + _SLACK_BYTES)
    needed = sum(value.numel() * max(value.element_size(), 4) for value in state.values())
    if needed > limit:
        raise CheckpointError(
            "'{name}' would take {needed:.0f} MB where its model takes {limit:.0f} MB at most; choose the file that "
            "belongs to this model.",
            name=path.name,
            needed=needed / 1e6,
            limit=limit / 1e6,
        )


def _check_plain(key: str, value: Tensor, name: str) -> None:
    kinds = {
        "sparse": value.layout is not torch.strided,
        "quantized": value.is_quantized,
        "nested": value.is_nested,
        "without values": value.is_meta,
        "complex": value.is_complex(),
        "empty": not value.is_nested and value.numel() == 0,
    }
    kind = next((kind for kind, is_so in kinds.items() if is_so), None)
    if kind is not None:
        raise CheckpointError(
            "'{name}' has a tensor that is {kind} ('{key}'), where plain ones are read; choose another file.",
            name=name,
            kind=kind,
            key=key,
        )


def _check_finite(key: str, value: Tensor, name: str) -> None:
    if not value.is_floating_point():
        return
    # NaN is not below either; a double beyond a float would become infinite in the network.
    if not all(abs(float(end)) <= _LARGEST for end in torch.aminmax(value.detach())):
        raise CheckpointError(
            "'{name}' has weights that are NaN or infinite ('{key}'): its training failed; choose another file.",
            name=name,
            key=key,
        )


def _check_written(state: Mapping[str, Tensor], name: str) -> None:
    # Biases and gains may all be zero in a new network, its matrices and kernels never are.
    shaped = [value for value in state.values() if value.is_floating_point() and value.dim() > 1]
    if shaped and not any(value.any() for value in shaped):
        raise CheckpointError("'{name}' has weights that are all zero; choose another file.", name=name)


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 4 else value
