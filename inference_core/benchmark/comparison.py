"""Forms of one encoder side by side: the one that is used, exact and in half the digits, and the plain one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference_core.benchmark.machine_rate import matrix_rate, operations_of
from inference_core.benchmark.timing import peak_memory_bytes
from inference_core.errors import DeviceError

Result = TypeVar("Result")
Network = TypeVar("Network", bound=nn.Module)
Encode = Callable[[Tensor], Tensor]
Prepare = Callable[[str], tuple[Encode, Tensor]]
"""Makes a form, "fast" or "plain", and an image for it; both forms get the same image and parameters."""
FORMS = ("fast", "plain", "half")
"""As it is used; as its definition reads; as it is used, in bfloat16."""


@dataclass(frozen=True)
class EncoderForms:
    """CPU seconds of one encoding in each form, the best of the repeats, and how far they differ from the plain one.

    `half_difference` is the root mean square, `largest_difference` what it says. Where each form ran in a process of
    its own: peak memory in bytes, the operations of the used form, and what the machine does of them in a second at
    best, in the same process.
    """

    shortcut_s: float
    plain_s: float
    half_s: float
    largest_difference: float
    half_difference: float
    embedding_std: float
    shortcut_peak: int | None = None
    plain_peak: int | None = None
    operations: int | None = None
    machine_rate: float | None = None

    @property
    def least_s(self) -> float | None:
        """The least time that the used form's operations take on this machine; None where they were not counted."""
        return self.operations / self.machine_rate if self.operations and self.machine_rate else None

    @property
    def ratio(self) -> float:
        """The shortcut's share of the plain form's time."""
        return self.shortcut_s / self.plain_s


@dataclass(frozen=True)
class FormCost:
    """CPU seconds of one encoding, the best of the repeats, and the most memory (bytes) that its process had in use.

    Of the used form also its operations, and the machine's rate (operations a second) of a large matrix product.
    """

    cpu_s: float
    peak: int | None
    operations: int | None = None
    machine_rate: float | None = None


def compare_apart(prepare: Prepare, *, repeats: int) -> EncoderForms:
    """Encode in each form, each in a process of its own on one thread; `prepare` must be a function of a module.

    CPU time on one thread does not grow with what else the machine is doing, as wall time does; threads that wait for
    each other would count.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    (fast, found), (plain, wanted), (half, rough) = (_in_a_process(form, prepare, repeats=repeats) for form in FORMS)
    return EncoderForms(
        fast.cpu_s,
        plain.cpu_s,
        half.cpu_s,
        largest_difference=float(np.abs(found - wanted).max()),
        half_difference=root_mean_square(rough - wanted),
        embedding_std=float(wanted.std()),
        shortcut_peak=fast.peak,
        plain_peak=plain.peak,
        operations=fast.operations,
        machine_rate=fast.machine_rate,
    )


@torch.inference_mode()
def compare(shortcut: Encode, plain: Encode, image: Tensor, *, repeats: int) -> EncoderForms:
    """Encode one image in each form in this process, after a warm-up, and time each by the CPU's clock.

    CPU time does not grow with what else the machine is doing, as wall time does.
    """
    found, shortcut_s = _timed(shortcut, image, repeats)
    wanted, plain_s = _timed(plain, image, repeats)
    with in_form("half"):
        rough, half_s = _timed(shortcut, image, repeats)
    return EncoderForms(
        shortcut_s,
        plain_s,
        half_s,
        largest_difference=float((found - wanted).abs().max()),
        half_difference=root_mean_square((rough.float() - wanted).numpy()),
        embedding_std=float(wanted.std()),
    )


def randomly_drawn(make: Callable[[], Network], *, seed: int) -> Network:
    """A network with random weights, position tables and biases included, so that no term of it is idle."""
    torch.manual_seed(seed)
    network = make()
    for name, parameter in network.named_parameters():
        if "pos" in name or name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def in_form(form: str) -> torch.autocast:
    """A context in which the used form's functions are those of `form`."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=form == "half")


def root_mean_square(values: NDArray[np.float32]) -> float:
    """Of all values."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def in_a_process(form: str, measure: Callable[[str], Result]) -> Result:
    """What a function makes of a form's name, in a new process; it must be one of a module, or a `partial` of one.

    Raises:
        DeviceError: the process was stopped, as it is when the memory runs out.
    """
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure, form).result()
    except BrokenProcessPool as error:
        raise DeviceError(
            f"The {form} form of the network was stopped by the system; close other programs to free memory."
        ) from error


def _in_a_process(form: str, prepare: Prepare, *, repeats: int) -> tuple[FormCost, NDArray[np.float32]]:
    return in_a_process(form, partial(_measure, prepare=prepare, repeats=repeats))


@torch.inference_mode()
def _measure(form: str, *, prepare: Prepare, repeats: int) -> tuple[FormCost, NDArray[np.float32]]:
    """What one form costs in this process after a warm-up, and its embedding."""
    torch.set_num_threads(1)
    encode, image = prepare("plain" if form == "plain" else "fast")
    with in_form(form):
        embedding, seconds = _timed(encode, image, repeats)
    peak = peak_memory_bytes()
    counted = (operations_of(lambda: encode(image)), matrix_rate()) if form == "fast" else ()
    return FormCost(seconds, peak, *counted), embedding.float().numpy()


def _timed(encode: Encode, image: Tensor, repeats: int) -> tuple[Tensor, float]:
    embedding = encode(image)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        embedding = encode(image)
        seconds.append(time.process_time() - start)
    return embedding, min(seconds)
