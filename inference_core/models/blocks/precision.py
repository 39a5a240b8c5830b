"""Computing in half the digits for twice the speed, for those who ask for it.

`SAM3DSEGMENT_PRECISION=bfloat16` lets the models that offer it do their matrix products with eight significant bits
instead of 24. The default is `float32`, which all reference numbers hold for.
"""

from __future__ import annotations

import os

import torch

from inference_core.errors import ModelError

VARIABLE = "SAM3DSEGMENT_PRECISION"
PRECISIONS = ("float32", "bfloat16")


def wanted_precision() -> str:
    """One of `PRECISIONS`, as the environment says.

    Raises:
        ModelError: it says something else.
    """
    name = os.environ.get(VARIABLE) or PRECISIONS[0]
    if name not in PRECISIONS:
        raise ModelError(f"{VARIABLE} is '{name}'; set it to one of {', '.join(PRECISIONS)}, or not at all.")
    return name


def in_wanted_precision(device: str) -> torch.autocast:
    """A context in which matrix products and attention are computed in the precision asked for."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=wanted_precision() == "bfloat16")
