"""The device that the tests of this folder compare with the CPU: a graphics card, or what `make gpu DEVICE=` says."""

from __future__ import annotations

import os

import pytest
import torch

from Gpu.running import DEVICE_VARIABLE


@pytest.fixture(scope="session")
def device() -> str:
    chosen = os.environ.get(DEVICE_VARIABLE, "cuda")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch sees no graphics card (CUDA) here")
    return chosen


@pytest.fixture(scope="session")
def card(device: str) -> str:
    if device != "cuda":
        pytest.skip("this is about a graphics card's own memory")
    return device
