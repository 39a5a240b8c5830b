"""What a weights file holds: the weights found under a training script's wrapping, and checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inference_core.errors import CheckpointError

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
    state: Mapping[str, Tensor], *, name: str, file_bytes: int, most_bytes: int | None = None
) -> dict[str, Tensor]:
    """Weights as they can be used, half precision widened to float32.

    Sizes are looked at before anything is widened: a file of some bytes can name tensors of any size. `name` is the
    file's, `file_bytes` its size, and `most_bytes` what its weights may take.

    Raises:
        CheckpointError: a tensor is not a plain one, holds NaN or infinity, or there are more of them than allowed.
    """
    for key, value in state.items():
        _check_plain(key, value, name)
    limit = min(_MOST_BYTES if most_bytes is None else most_bytes, _MOST_GROWTH * file_bytes + _SLACK_BYTES)
    needed = sum(value.numel() * max(value.element_size(), 4) for value in state.values())
    if needed > limit:
        raise CheckpointError(
            "'{name}' would take {needed:.0f} MB where its model takes {limit:.0f} MB at most; choose the file that "
            "belongs to this model.",
            name=name,
            needed=needed / 1e6,
            limit=limit / 1e6,
        )
    widened = {key: _widened(value) for key, value in state.items()}
    for key, value in widened.items():
        _check_finite(key, value, name)
    return widened


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


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 4 else value
