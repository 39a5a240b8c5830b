"""Reading weights files that come from elsewhere: nothing in them is run, and nothing in them is passed over.

Official checkpoints are safetensors or PyTorch files, bare or wrapped by a training script. Their keys are renamed by a
table and then loaded strictly.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inference_core.errors import CheckpointError

_WRAPPERS = ("model_state_dict", "state_dict", "model", "network")
# What a training script may pickle beside the tensors without harm: a bag of command-line options, and single numbers
# of numpy, whose maker has gone by two names.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8")),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)
_SHOWN = 3


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights in a safetensors or PyTorch file, on the CPU, half precision widened to float32.

    Training wrappers and the prefix `module.` are taken off.

    Raises:
        CheckpointError: the file is absent, damaged, carries code, or holds no weights.
    """
    state = _unwrapped(load_content(path))
    if not state:
        raise CheckpointError(f"'{path.name}' holds no weights; choose a model's checkpoint.")
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    return {name.removeprefix(prefix): _widened(value) for name, value in state.items()}


def load_content(path: Path) -> Any:
    """All that a safetensors or PyTorch file holds, as it was saved, on the CPU. The file may stay mapped.

    Raises:
        CheckpointError: the file is absent, damaged, or carries code.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no weights file '{path}'; give the path of one.")
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read ({error.strerror or error}); check its permissions."
        ) from error


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    renames: Sequence[tuple[str, str]] = (),
    name: str = "The weights file",
) -> None:
    """Fill a module with weights; names and shapes must agree one to one. A module on the meta device moves to the CPU.

    `renames` are (regular expression, replacement) pairs, applied in order to each of the file's names. `name` is what
    error messages call the file.

    Raises:
        CheckpointError: names or shapes differ; the first of each side are named.
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
    if any(value.is_meta for value in wanted.values()):
        module.to_empty(device="cpu")
    module.load_state_dict(given, strict=True)


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


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise CheckpointError(f"'{path.name}' is damaged or not a safetensors file; download it again.") from error


def _read_torch(path: Path) -> Any:
    try:
        zipped = zipfile.is_zipfile(path)
        if not zipped and _starts_like_a_zip(path):
            raise CheckpointError(f"'{path.name}' is cut off; download it again.")
        with torch.serialization.safe_globals(_HARMLESS):
            # Only the zip form can be mapped, which reads each tensor straight into its place.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except _UNREADABLE as error:
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise CheckpointError(
                f"'{path.name}' carries code beside its weights, which is not run here; ask its authors for another."
            ) from error
        raise CheckpointError(f"'{path.name}' is damaged or not a weights file; download it again.") from error


def _starts_like_a_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unwrapped(content: Any) -> dict[str, Tensor]:
    """The tensors by name, from under any known wrapper; empty where there are none, or other things among them."""
    while isinstance(content, dict) and (key := next((key for key in _WRAPPERS if key in content), None)):
        content = content[key]
    if not isinstance(content, dict):
        return {}
    named = all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    return dict(content) if named else {}


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 4 else value


def _renamed(key: str, renames: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


def _first(keys: Sequence[str]) -> str:
    if not keys:
        return "nothing"
    shown = ", ".join(f"'{key}'" for key in keys[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"
