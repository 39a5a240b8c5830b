"""Computing encoders in half the digits for twice the speed: by default on a GPU, elsewhere for those who ask for it.

"auto" is float32 on a CPU, which all reference numbers hold for, and on a GPU bfloat16, eight significant bits instead
of 24, in matrix products and attention.
"""

from __future__ import annotations

import torch

from inference_core.errors import ModelError
from inference_core.models.spec import PRECISIONS

_chosen = ["auto"]


def use_precision(name: str) -> None:
    """Compute in one of `PRECISIONS` from the next encoding on, in this whole program.

    Raises:
        ModelError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise ModelError(f"There is no precision '{name}'; use one of {', '.join(PRECISIONS)}.")
    _chosen[0] = name


def precision_on(device: str) -> str:
    """What is computed in on a device: "float32" or "bfloat16"."""
    if _chosen[0] != "auto":
        return _chosen[0]
    on_gpu = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if on_gpu else "float32"


def in_wanted_precision(device: str) -> torch.autocast:
    """A context in which matrix products and attention are computed in the precision wanted on a device."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision_on(device) == "bfloat16")
