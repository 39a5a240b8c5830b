"""Which device is taken, and what is said where it is absent."""

from __future__ import annotations

import pytest
import torch

from inference_core.engine.device import DEVICES, choose_device
from inference_core.errors import DeviceError


@pytest.fixture
def a_computer(monkeypatch):
    """A function that makes PyTorch see the devices it is given."""

    def with_(*present: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in present)

    return with_


@pytest.mark.parametrize(
    ("present", "chosen"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("mps", "cuda"), "cuda")]
)
def test_the_fastest_device_present_is_taken(a_computer, present, chosen):
    a_computer(*present)
    assert choose_device() == chosen
    assert choose_device("auto") == chosen


@pytest.mark.parametrize("wanted", ["cuda", "mps", "cpu"])
def test_a_device_that_is_present_is_taken_when_asked_for(a_computer, wanted):
    a_computer("cuda", "mps")
    assert choose_device(wanted) == wanted


@pytest.mark.parametrize(("wanted", "other"), [("cuda", "mps"), ("mps", "cuda")])
def test_an_absent_device_is_refused_with_a_way_out(a_computer, wanted, other):
    a_computer(other)
    with pytest.raises(DeviceError, match=f"sees no {wanted} device; install its driver, or compute on the CPU"):
        choose_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:1", "CPU", ""])
def test_an_unknown_device_is_refused_with_the_names_to_choose_from(wanted):
    with pytest.raises(DeviceError, match=f"no device '{wanted}'; choose one of {', '.join(DEVICES)}"):
        choose_device(wanted)


def test_the_processor_is_always_there():
    assert choose_device("cpu") == "cpu"
    torch.empty(1, device=choose_device())
