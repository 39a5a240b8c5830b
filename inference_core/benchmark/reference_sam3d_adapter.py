"""3DSAM-adapter in its plain form, step by step as it is defined: what the network's shortcuts are measured against.

The plain form enlarges the crop to 512 voxels a side in three channels, convolves slice by slice, rolls the grid, adds
matrices of biases and of masks, keeps the three prompt encoders that are never used, and decodes all four maps at every
click. Each form runs in a process of its own, so that its peak memory can be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inference_core.benchmark.comparison import FORMS, in_a_process, in_form, randomly_drawn, root_mean_square
from inference_core.benchmark.timing import peak_memory_bytes
from inference_core.models.sam3d_adapter.network import (
    Adapter,
    EncoderBlock,
    PromptEncoder,
    Sam3DAdapterConfig,
    Sam3DAdapterNetwork,
)
from inference_core.models.sam3d_adapter.shifted_cube_attention import shifted_mask

Float32 = NDArray[np.float32]


class PlainForm(nn.Module):
    """The same function of the same parameters as a `Sam3DAdapterNetwork`."""

    def __init__(self, network: Sam3DAdapterNetwork) -> None:
        super().__init__()
        self.network, config = network, network.config
        self.unused = nn.ModuleList([PromptEncoder(config) for _ in range(3)])
        for n in range(0, config.depth, 2):
            self.register_buffer(f"mask{n}", -100.0 * shifted_mask(config.grid, config.cube))

    def encode(self, image: Tensor) -> dict[str, Tensor]:
        """A crop (1, 1, D, H, W) to the four maps, and the crop itself."""
        x = self._tokens(image)
        found = {"image": image}
        for n, block in enumerate(self.network.encoder.blocks):
            assert isinstance(block, EncoderBlock)
            x = x + _adapted(block.adapter, x)
            x = x + self._attended(n, block, block.norm1(x))
            x = x + _linear(F.gelu(_linear(block.norm2(x), block.mlp.lin1)), block.mlp.lin2)
            if n % 3 == 2:
                found[f"map{n // 3}"] = _convolved(self.network.encoder.neck_3d[n // 3], x.movedim(-1, 1))
        return found

    def decode(self, encoded: dict[str, Tensor], points: Tensor) -> Tensor:
        """Points (N, 3) in crop voxels (d, h, w) to logits (1, k, D, H, W)."""
        *shallow, deepest = (encoded[f"map{n}"] for n in range(4))
        decoder = self.network.decoder
        image = encoded["image"].permute(0, 1, 3, 4, 2)
        heads = zip(decoder.mlahead.heads, (*shallow, self.network.prompt_encoder(deepest, points)), strict=True)
        wide = [_resized(_convolved(head, features), factor=2.0, corners=True) for head, features in heads]
        wide.append(_resized(image, factor=0.5, corners=False))
        logits = _convolved(decoder.cls, torch.cat(wide, dim=1))
        return _resized(logits, factor=2.0, corners=True).permute(0, 1, 4, 2, 3)

    def _tokens(self, image: Tensor) -> Tensor:
        encoder = self.network.encoder
        enlarged = _resized(image.expand(-1, 3, -1, -1, -1), factor=4.0, corners=False)
        patches = encoder.patch_embed.proj(enlarged[0].transpose(0, 1)).permute(0, 2, 3, 1)
        x = encoder.slice_embed(patches.permute(3, 1, 2, 0).contiguous()[None]).permute(0, 2, 3, 4, 1)
        positions = F.avg_pool2d(encoder.pos_embed.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        y: Tensor = x + positions[:, :, :, None] + encoder.depth_embed[:, None, None]
        return y

    def _attended(self, n: int, block: EncoderBlock, x: Tensor) -> Tensor:
        side, count, shift = block.side, x.shape[1] // block.side, block.side // 2
        if block.shifted:
            x = torch.roll(x, (-shift, -shift, -shift), dims=(1, 2, 3))
        cubes = x.view(count, side, count, side, count, side, -1).permute(0, 2, 4, 1, 3, 5, 6).flatten(0, 2)
        attended = self._attend(n, block, cubes)
        y = attended.view(count, count, count, side, side, side, -1).permute(0, 3, 1, 4, 2, 5, 6).reshape(x.shape)
        return torch.roll(y, (shift, shift, shift), dims=(1, 2, 3)) if block.shifted else y

    def _attend(self, n: int, block: EncoderBlock, cubes: Tensor) -> Tensor:
        """Cubes (G, h, w, d, C), every pair of a cube's tokens with its bias, and its mask if the block is shifted."""
        attention, extent = block.attn, cubes.shape[1:4]
        qkv = _linear(cubes.flatten(1, 3), attention.qkv)
        q, k, v = qkv.unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        places = q.unflatten(2, extent)
        h, w, d = attention.tables()
        bias = torch.einsum("gahwdc,hxc->gahwdx", places, h)[..., :, None, None]
        bias = bias + torch.einsum("gahwdc,wyc->gahwdy", places, w)[..., None, :, None]
        bias = bias + torch.einsum("gahwdc,dzc->gahwdz", places, d)[..., None, None, :]
        logits = logits + attention.lr * bias.reshape(logits.shape)
        if block.shifted:
            logits = logits + self.get_buffer(f"mask{n}")[:, None]
        return _linear((logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2), attention.proj)


def _adapted(adapter: Adapter, x: Tensor) -> Tensor:
    inner = F.relu(_linear(x, adapter.linear1)).movedim(-1, 1)
    conv = adapter.conv
    inner = F.relu(F.conv3d(inner, conv.weight, conv.bias, padding=1, groups=conv.groups)).movedim(1, -1)
    return F.relu(_linear(inner, adapter.linear2))


def _linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def _convolved(layers: nn.Module, x: Tensor) -> Tensor:
    """One layer after another, the convolutions as PyTorch itself does them."""
    for layer in layers.children():
        if isinstance(layer, nn.Conv3d):
            x = F.conv3d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
        else:
            x = layer(x)
    return x


class FastForm:
    """The network as it is used, with the same two calls."""

    form = "fast"

    def __init__(self, network: Sam3DAdapterNetwork) -> None:
        self.network = network

    def encode(self, image: Tensor) -> dict[str, Tensor]:
        """All that clicks do not change."""
        with in_form(self.form):
            *shallow, deepest = (features.float() for features in self.network.encoder(image))
        return {"deepest": deepest, "fixed": self.network.decoder.fixed(shallow, image)}

    def decode(self, encoded: dict[str, Tensor], points: Tensor) -> Tensor:
        """Points (N, 3) in crop voxels (d, h, w) to logits (1, k, D, H, W)."""
        prompted = self.network.prompt_encoder(encoded["deepest"], points)
        return self.network.decoder.prompted(encoded["fixed"], prompted)


class HalfForm(FastForm):
    """The network as it is used where half the digits are asked for: the encoder's, as `Sam3DAdapter.encode` does."""

    form = "half"


def _resized(x: Tensor, *, factor: float, corners: bool) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="trilinear", align_corners=corners)


@dataclass(frozen=True)
class ClickCost:
    """What a form took: CPU seconds of a first click and of a further one in the same crop, and peak memory (bytes)."""

    first_s: float
    further_s: float
    peak: int | None


@dataclass(frozen=True)
class Forms:
    """The forms' cost on the same weights and crop, and how far their logits differ from the plain form's.

    `largest_difference` is that of the fast form, `half_difference` the root mean square of that in half the digits.
    """

    fast: ClickCost
    plain: ClickCost
    half: ClickCost
    largest_difference: float
    half_difference: float
    logit_std: float

    @property
    def ratio(self) -> float:
        """The fast form's share of the plain form's CPU time for a first click."""
        return self.fast.first_s / self.plain.first_s

    @property
    def further_ratio(self) -> float:
        """The same for a further click in the same crop, for which both keep what the encoder gave."""
        return self.fast.further_s / self.plain.further_s


class Form(Protocol):
    """A way to run the network, in its two steps."""

    def encode(self, image: Tensor) -> dict[str, Tensor]:
        """A crop (1, 1, D, H, W) to all that clicks do not change."""
        ...

    def decode(self, encoded: dict[str, Tensor], points: Tensor) -> Tensor:
        """Points (N, 3) in crop voxels (d, h, w) to logits (1, k, D, H, W)."""
        ...


_FORMS: dict[str, Callable[[Sam3DAdapterNetwork], Form]] = {"fast": FastForm, "plain": PlainForm, "half": HalfForm}


def compare_forms(config: Sam3DAdapterConfig | None = None, *, repeats: int = 1, seed: int = 0) -> Forms:
    """Run each form in a process of its own, on random weights and a random crop that both draw from the seed.

    The best of the repeats counts, by the CPU's clock and on one thread: so it grows neither with what else the machine
    is doing nor with threads that wait for each other.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out; the plain form needs 8 GB.
    """
    run = partial(measure, config=config or Sam3DAdapterConfig(), repeats=repeats, seed=seed)
    (fast_cost, fast), (plain_cost, plain), (half_cost, half) = (in_a_process(form, run) for form in FORMS)
    return Forms(
        fast_cost,
        plain_cost,
        half_cost,
        largest_difference=float(np.abs(fast - plain).max()),
        half_difference=root_mean_square(half - plain),
        logit_std=float(plain.std()),
    )


def random_network(config: Sam3DAdapterConfig, *, seed: int) -> Sam3DAdapterNetwork:
    """A network with random weights, none of whose terms is idle."""
    return randomly_drawn(lambda: Sam3DAdapterNetwork(config), seed=seed)


@torch.inference_mode()
def measure(form: str, *, config: Sam3DAdapterConfig, repeats: int, seed: int) -> tuple[ClickCost, Float32]:
    """What one form takes in this process, and its logits (2, D, H, W) at the further click."""
    torch.set_num_threads(1)
    runner = _FORMS[form](random_network(config, seed=seed))
    image = torch.randn(1, 1, *[config.image_size] * 3, generator=torch.Generator().manual_seed(seed))
    first, further = config.image_size * torch.tensor([[[0.5, 0.5, 0.5]], [[0.4, 0.55, 0.3]]])
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        encoded = runner.encode(image)
        runner.decode(encoded, first)
        middle = time.process_time()
        logits = runner.decode(encoded, torch.cat([first, further]))
        seconds.append((middle - start, time.process_time() - middle))
        del encoded
    first_s, further_s = (min(times) for times in zip(*seconds, strict=True))
    return ClickCost(first_s, further_s, peak_memory_bytes()), logits[0].numpy()
