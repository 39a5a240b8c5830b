"""Reading weights files that come from elsewhere: nothing in them is run, and nothing in them is passed over.

Official checkpoints are safetensors or PyTorch files, bare or wrapped by a training script. Their keys are renamed by a
table and then loaded strictly. `weights_file` opens them, `weights_content` finds and checks what they hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from inference_core.errors import CheckpointError
from inference_core.models import weights_content, weights_file

_SHOWN = 3
_FILLING = frozenset({"kaiming_uniform_", "normal_", "uniform_", "ones_", "zeros_", "zero_", "fill_"})


def load_state_dict(
    path: Path, *, most_bytes: int | None = None, instead: weights_content.Instead | None = None
) -> dict[str, Tensor]:
    """The weights in a safetensors or PyTorch file, on the CPU, half precision widened to float32.

    They are the caller's own: nothing of the file stays mapped, and they are held once. Training wrappers, the prefix
    `module.` and the counters of profilers are taken off. `most_bytes` is what the weights may take in memory
    (`Checkpoint.most_bytes`); `instead` may replace some (`weights_content.sound`).

    Raises:
        CheckpointError: the file is absent, damaged, carries code, holds no weights, weights that are not plain finite
            numbers, or more of them than allowed.
    """
    state = weights_content.found_in(load_content(path))
    if not state:
        raise CheckpointError(f"'{path.name}' holds no weights; choose a model's checkpoint.")
    return weights_content.sound(state, path, most_bytes=most_bytes, instead=instead)


def load_content(path: Path) -> Any:
    """All that a safetensors or PyTorch file holds, as it was saved, on the CPU. The file may stay mapped.

    Raises:
        CheckpointError: the file is absent, damaged, or carries code.
    """
    return weights_file.read(path)


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    name: str,
    renames: Sequence[tuple[str, str]] = (),
) -> None:
    """Fill a module with weights; names and shapes must agree one to one.

    A module on the meta device gets the tensors themselves, so that none is held twice; another one copies them.

    `renames` are (regular expression, replacement) pairs, applied in order to each of the file's names. `name` is what
    error messages call the file.

    Raises:
        CheckpointError: names or shapes differ, or whole numbers stand for real ones; the first of each side are named.
    """
    given = {_renamed(key, renames): value for key, value in state.items()}
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in given]
    surplus = [key for key in given if key not in wanted]
    if missing or surplus or len(given) != len(state):
        raise CheckpointError(
            f"'{name}' is of another model: it lacks {_first(missing)} and has {_first(surplus)} that is unknown here; "
            "choose the file that belongs to this model."
        )
    for key, value in wanted.items():
        if given[key].shape != value.shape:
            raise CheckpointError(
                f"'{name}' is of a model of another size: '{key}' is {tuple(given[key].shape)} instead of "
                f"{tuple(value.shape)}; choose the file that belongs to this model."
            )
        if value.is_floating_point() and not given[key].is_floating_point():
            raise CheckpointError(
                f"'{name}' has whole numbers ({given[key].dtype}) for '{key}', as a quantized copy has; choose the "
                "file that it was made of."
            )
    if not any(value.is_meta for value in wanted.values()):
        module.load_state_dict(given, strict=True)
        return
    fitting = {key: given[key].to(value.dtype).contiguous() for key, value in wanted.items()}
    module.load_state_dict(fitting, strict=True, assign=True)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks made within have shapes but no values, and nothing is drawn for them; `load_strict` fills them.

    On the meta device alone PyTorch would go through the motions of drawing, for which it imports a second's worth of
    modules.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leaves out what would fill a tensor."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs) if func is not torch.randn else torch.empty(*args, **kwargs)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify_sha256(path: Path, expected: str) -> None:
    """Make sure that a file is the one that was published.

    Raises:
        CheckpointError: its sha256 is another one.
    """
    actual = sha256_of(path)
    if actual != expected.lower():
        raise CheckpointError(
            f"'{path.name}' is not the published file (sha256 {actual[:12]}..., expected {expected[:12].lower()}...); "
            "download it again."
        )


def _renamed(key: str, renames: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


def _first(keys: Sequence[str]) -> str:
    if not keys:
        return "nothing"
    shown = ", ".join(f"'{key}'" for key in keys[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"
