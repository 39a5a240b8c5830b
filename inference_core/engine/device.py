"""Choosing where a model runs."""

from __future__ import annotations

from inference_core.errors import DeviceError

DEVICES = ("auto", "cuda", "mps", "cpu")


def choose_device(wanted: str = "auto") -> str:
    """The torch device for "auto", "cuda", "mps" or "cpu"; auto takes the fastest one present.

    Raises:
        DeviceError: the device is unknown or absent.
    """
    import torch

    if wanted not in DEVICES:
        raise DeviceError(f"There is no device '{wanted}'; choose one of {', '.join(DEVICES)}.")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, here in present.items() if here)
    if not present[wanted]:
        raise DeviceError(f"This computer's PyTorch sees no {wanted} device; use --device cpu or install its driver.")
    return wanted
