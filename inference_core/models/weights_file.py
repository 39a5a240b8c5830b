"""Opening a weights file: only plain data is unpickled, and only what lies in the file as it is in memory is mapped."""

from __future__ import annotations

import argparse
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.io.opening import is_regular_file


def _numpy_functions(name: str) -> list[tuple[Any, str]]:
    """A function of numpy by the two names under which pickles know it."""
    found = (getattr(np, "_core", None) or np.core).multiarray
    return [(getattr(found, name), f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]


# What a training script may pickle beside the tensors without harm: a bag of command-line options, single numbers and
# arrays of numpy, whose makers have gone by two names.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.ndarray,
    *(type(np.dtype(kind)) for kind in ("?", "u1", "i2", "f2", "f4", "f8", "i4", "i8")),
    *_numpy_functions("scalar"),
    *_numpy_functions("_reconstruct"),
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


def read(path: Path) -> Any:
    """All that a safetensors or PyTorch file holds, as it was saved, on the CPU. The file may stay mapped.

    Raises:
        CheckpointError: the file is absent, damaged, compressed within, or carries code.
    """
    if not is_regular_file(path):
        raise CheckpointError(f"There is no weights file '{path}'; give the path of one.")
    try:
        return _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read ({error.strerror or error}); check its permissions."
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, *_UNREADABLE) as error:
        raise CheckpointError(f"'{path.name}' is damaged or not a safetensors file; download it again.") from error


def _read_torch(path: Path) -> Any:
    try:
        zipped = zipfile.is_zipfile(path)
        sizes = _member_sizes(path) if zipped else set()
        if not zipped and _starts_like_a_zip(path):
            raise CheckpointError(f"'{path.name}' is cut off; download it again.")
        with torch.serialization.safe_globals(_HARMLESS):
            # Only the zip form can be mapped, which reads each tensor straight into its place.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        if zipped and any(tensor.untyped_storage().nbytes() not in sizes for tensor in _plain_tensors(content)):
            raise zipfile.BadZipFile("a tensor is of another size than its member")
        return content
    except _UNREADABLE as error:
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise CheckpointError(
                f"'{path.name}' carries code beside its weights, which is not run here; ask its authors for another."
            ) from error
        raise CheckpointError(f"'{path.name}' is damaged or not a weights file; download it again.") from error


def _member_sizes(path: Path) -> set[int]:
    """The sizes of a zip's members, which must lie in it as they are in memory: mapped, they are read as they are.

    Raises:
        CheckpointError: they are compressed.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise zipfile.BadZipFile("two members of one name")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise CheckpointError(
            f"'{path.name}' is compressed or encrypted within, which is not read here; load it with torch.load where "
            "it comes from, and save it again with torch.save."
        )
    return {member.file_size for member in members}


def _plain_tensors(content: Any) -> Iterator[Tensor]:
    """The dense tensors in containers within containers, which may hold themselves."""
    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, Tensor) and item.layout is torch.strided and not (item.is_meta or item.is_nested):
            yield item


def _starts_like_a_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
