"""SAM's image encoder in its plain form, written as it is defined: what the blocks are measured against.

The plain form pads the normalised tokens to whole windows, projects padding and all, and holds the logits and both
terms of the bias of all heads at a time.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inference_core.errors import DeviceError
from inference_core.evaluation.forms import EncoderForms
from inference_core.evaluation.timing import peak_memory_bytes
from inference_core.models.blocks.layers import Mlp
from inference_core.models.blocks.sam_attention import GridAttention, cut_windows, joined_windows
from inference_core.models.blocks.sam_image_encoder import EncoderBlock, ImageEncoder
from inference_core.models.blocks.sam_sizes import SamSizes

Float32 = NDArray[np.float32]


class PlainAttention(GridAttention):
    """The same function of the same parameters as `GridAttention`, in so many words."""

    def forward(self, x: Tensor) -> Tensor:
        """x (G, A, W, C), already normalised, to the same shape."""
        grids, rows, columns, _ = x.shape
        qkv = self.qkv(x).reshape(grids, rows * columns, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.flatten(1, 2)
        by_row, by_column = self.tables(rows, columns)
        placed = q.unflatten(1, (rows, columns))
        logits = ((q * q.shape[-1] ** -0.5) @ k.transpose(1, 2)).unflatten(2, (rows, columns))
        logits = logits.unflatten(1, (rows, columns))
        logits = logits + torch.einsum("gabc,adc->gabd", placed, by_row)[..., None]
        logits = logits + torch.einsum("gabc,bdc->gabd", placed, by_column)[..., None, :]
        attended = logits.flatten(3, 4).flatten(1, 2).softmax(dim=-1) @ v
        joined = attended.unflatten(0, (grids, self.heads)).transpose(1, 2).reshape(x.shape)
        y: Tensor = self.proj(joined)
        return y

    def in_windows(self, x: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
        """x (N, A, W, C), already normalised, to the same shape, each window of side x side tokens by itself."""
        return joined_windows(self.forward(cut_windows(x, side, padding)), x.shape[1:3])


class PlainMlp(Mlp):
    """Two linear layers around the exact GELU, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return y


class PlainBlock(EncoderBlock):
    """The same function of the same parameters as `EncoderBlock`, in so many words."""

    def __init__(self, sizes: SamSizes, index: int) -> None:
        super().__init__(sizes, index, attention=PlainAttention)
        self.mlp = PlainMlp(sizes.width, 4 * sizes.width, nn.GELU())


@dataclass(frozen=True)
class FormCost:
    """CPU seconds of one encoding, the best of the repeats, and the most memory (bytes) that its process had in use."""

    cpu_s: float
    peak: int | None


def plain_encoder(encoder: ImageEncoder, sizes: SamSizes) -> ImageEncoder:
    """The plain form of an encoder, sharing its parameters."""
    with torch.device("meta"):
        plain = ImageEncoder(sizes, PlainBlock)
    plain.load_state_dict(encoder.state_dict(), assign=True)
    return plain


def random_encoder(sizes: SamSizes, *, seed: int = 0) -> ImageEncoder:
    """An encoder with random weights, the position tables and biases included, so that no term of it is idle."""
    torch.manual_seed(seed)
    encoder = ImageEncoder(sizes)
    for name, parameter in encoder.named_parameters():
        if "pos" in name or name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return encoder.eval()


def compare_forms(sizes: SamSizes | None = None, *, repeats: int = 2) -> EncoderForms:
    """Encode one random picture in each form, each in a process of its own on one thread; ViT-B where not told.

    CPU time on one thread does not grow with what else the machine is doing, as wall time does; threads that wait for
    each other would count.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    asked = partial(_in_a_process, sizes=sizes or SamSizes(), repeats=repeats)
    (fast, found), (plain, wanted) = asked("fast"), asked("plain")
    return EncoderForms(
        fast.cpu_s, plain.cpu_s, float(np.abs(found - wanted).max()), float(wanted.std()), fast.peak, plain.peak
    )


@torch.inference_mode()
def measure(form: str, *, sizes: SamSizes, repeats: int) -> tuple[FormCost, Float32]:
    """What one form, "fast" or "plain", costs in this process after a warm-up, and its embedding."""
    torch.set_num_threads(1)
    encoder = random_encoder(sizes)
    if form == "plain":
        encoder = plain_encoder(encoder, sizes)
    picture = torch.randn(1, 3, *[sizes.image_size] * 2, generator=torch.Generator().manual_seed(1))
    embedding, seconds = encoder(picture), []
    for _ in range(repeats):
        start = time.process_time()
        embedding = encoder(picture)
        seconds.append(time.process_time() - start)
    return FormCost(min(seconds), peak_memory_bytes()), embedding.numpy()


def _in_a_process(form: str, *, sizes: SamSizes, repeats: int) -> tuple[FormCost, Float32]:
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure, form, sizes=sizes, repeats=repeats).result()
    except BrokenProcessPool as error:
        raise DeviceError(
            f"The {form} form of the encoder was stopped by the system; close other programs to free memory."
        ) from error
