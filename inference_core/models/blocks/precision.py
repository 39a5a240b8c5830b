"""Computing encoders in half the digits for twice the speed: by default on a GPU, elsewhere for those who ask for it.

"auto" is float32 on a CPU, which all reference numbers hold for, and on a GPU bfloat16, eight significant bits instead
of 24, in matrix products and attention.
"""

from __future__ import annotations

import torch

from inference_core.errors import ModelError
from inference_core.models.spec import PRECISIONS


def resolve_precision(precision: str, device: str) -> str:
    """What one of `PRECISIONS` means on a torch device: "float32" or "bfloat16".

    Raises:
        ModelError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"There is no precision '{precision}'; use one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    on_gpu = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if on_gpu else "float32"


def computes_bfloat16(device: str) -> bool:
    """Whether a torch device multiplies matrices in bfloat16 itself: a processor with AVX512-BF16 or AMX, most GPUs.

    Elsewhere bfloat16 is emulated, which takes longer than float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # PyTorch tells no more of its processor in public; where it stops telling this, the answer is no.
    told = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return kind != "cpu" or any(has is not None and has() for has in told)


def autocast_to(precision: str, device: str) -> torch.autocast:
    """A context in which matrix products and attention are computed in "float32" or "bfloat16" on a device."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
