"""Two forms of one encoder side by side: the one that is used, with its exact shortcuts, and the plain one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EncoderForms:
    """CPU seconds of one encoding in each form, the best of the repeats, and how far their embeddings differ.

    Peak memory in bytes where each form ran in a process of its own.
    """

    shortcut_s: float
    plain_s: float
    largest_difference: float
    embedding_std: float
    shortcut_peak: int | None = None
    plain_peak: int | None = None

    @property
    def ratio(self) -> float:
        """The shortcut's share of the plain form's time."""
        return self.shortcut_s / self.plain_s


@torch.inference_mode()
def compare(shortcut: Encode, plain: Encode, image: Tensor, *, repeats: int) -> EncoderForms:
    """Encode one image in both forms in this process, after a warm-up, and time each by the CPU's clock.

    CPU time does not grow with what else the machine is doing, as wall time does.
    """
    found, shortcut_s = _timed(shortcut, image, repeats)
    wanted, plain_s = _timed(plain, image, repeats)
    difference = float((found - wanted).abs().max())
    return EncoderForms(shortcut_s, plain_s, difference, float(wanted.std()))


def _timed(encode: Encode, image: Tensor, repeats: int) -> tuple[Tensor, float]:
    embedding = encode(image)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        embedding = encode(image)
        seconds.append(time.process_time() - start)
    return embedding, min(seconds)
