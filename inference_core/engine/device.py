"""Choosing where a model runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inference_core.errors import DeviceError, Remedy

DEVICES = ("auto", "cuda", "mps", "cpu")


def choose_device(wanted: str = "auto") -> str:
    """The torch device for "auto", "cuda", "mps" or "cpu"; auto takes the fastest one present.

    Raises:
        DeviceError: the device is unknown or absent.
    """
    import torch

    if wanted not in DEVICES:
        raise DeviceError(
            "There is no device '{wanted}'; choose one of {names}.", wanted=wanted, names=", ".join(DEVICES)
        )
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, here in present.items() if here)
    if not present[wanted]:
        raise DeviceError(
            "This computer's PyTorch sees no {wanted} device; install its driver, or compute on the CPU.",
            remedy=Remedy.COMPUTE_ON_CPU,
            wanted=wanted,
        )
    return wanted


@contextmanager
def memory_errors_as_device_error(device: str) -> Iterator[None]:
    """Have a lack of memory, of the computer's or of the device's, told in one sentence.

    Raises:
        DeviceError: the memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        elsewhere = "" if device == "cpu" else " or choose the device cpu"
        raise DeviceError(
            "The memory ran out ({device}); close other programs, crop the image, take a smaller model{elsewhere}.",
            device=device,
            elsewhere=elsewhere,
        ) from error


def _is_lack_of_memory(error: BaseException) -> bool:
    """PyTorch has a class of its own for CUDA alone; its CPU allocator and MPS raise plain runtime errors."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in said for words in ("out of memory", "can't allocate memory", "not enough memory"))
    )
