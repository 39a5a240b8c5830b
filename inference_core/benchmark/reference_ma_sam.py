"""MA-SAM's network in its plain form: what the shortcuts of `ma_sam_network` are measured against.

The plain form follows the definition. Every stack is embedded anew, as three channels; windows are padded before the
projections; the factor-tuned parts are computed beside them; the attention's logits are held whole, the relative
positions added to them; neighbors across slices meet in a 3D convolution.

Legend: N slices of a stack, A W rows and columns of a grid or window, C channels, c channels of a head or an adapter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.benchmark.comparison import Encode, EncoderForms, compare_apart, randomly_drawn
from inference_core.models.blocks.sam_attention import cut_windows, joined_windows, relative_table
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes, read_sizes
from inference_core.models.ma_sam.checkpoint import merged
from inference_core.models.ma_sam.network import MaSamBlock, MaSamNetwork, MaSamSizes
from inference_core.models.ma_sam.patches import PatchEmbedder, SlicePatches
from inference_core.models.ma_sam.preprocess import ABDOMINAL_CT, network_slice
from inference_core.models.weights import load_strict

Files = tuple[dict[str, Tensor], dict[str, Tensor]]
_LOGIT_GAIN = 50.0


class PlainBlock(nn.Module):
    """One block of the encoder, from the tensors of an MA-SAM file and those of SAM's checkpoint."""

    def __init__(self, files: Files, index: int, sizes: SamSizes, tables: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.adapted, self.sam = files
        self.index, self.sizes, self.tables = index, sizes, tables
        self.window = None if index in sizes.global_blocks else sizes.window

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of one stack (N, A, W, C) to the same shape."""
        x = x + self._adapter(x, "")
        normed = self._norm(x, "norm1")
        if self.window is None:
            x = x + self._attention(normed)
        else:
            x = x + joined_windows(self._attention(cut_windows(normed, self.window)), x.shape[1:3])
        x = x + self._adapter(x, "_2")
        hidden = F.gelu(self._linear(self._norm(x, "norm2"), "mlp.lin1"))
        return x + self._linear(hidden, "mlp.lin2")

    def _adapter(self, x: Tensor, suffix: str) -> Tensor:
        def part(name: str) -> Tensor:
            return self.adapted[f"image_encoder.ImageEncoderViT.blocks.{self.index}.Block.adapter_{name}"]

        normed = F.layer_norm(x, x.shape[-1:], part(f"norm{suffix}.weight"), part(f"norm{suffix}.bias"), 1e-6)
        stack = F.linear(normed, part(f"linear_down{suffix}.weight")).permute(3, 0, 1, 2)[None]
        mixed = F.conv3d(stack, part(f"conv{suffix}.weight"), part(f"conv{suffix}.bias"), padding=(1, 0, 0))
        return F.linear(F.gelu(mixed[0].permute(1, 2, 3, 0)), part(f"linear_up{suffix}.weight"))

    def _attention(self, x: Tensor) -> Tensor:
        grids, rows, columns, width = x.shape
        qkv = self._linear(x, "attn.qkv")
        qkv[..., :width] += self._factors(x, "q")
        qkv[..., -width:] += self._factors(x, "v")
        q, k, v = qkv.reshape(grids, rows * columns, 3, self.sizes.heads, -1).permute(2, 0, 3, 1, 4)
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        placed = q.unflatten(2, (rows, columns))
        by_row = torch.einsum("ghabc,adc->ghabd", placed, relative_table(self.tables[0], rows, rows))
        by_column = torch.einsum("ghabc,bdc->ghabd", placed, relative_table(self.tables[1], columns, columns))
        shaped = logits.unflatten(2, (rows, columns)).unflatten(4, (rows, columns))
        shares = (shaped + by_row[..., :, None] + by_column[..., None, :]).reshape(logits.shape).softmax(dim=-1)
        return self._linear((shares @ v).transpose(1, 2).reshape(x.shape), "attn.proj")

    def _factors(self, x: Tensor, kind: str) -> Tensor:
        low = F.linear(x, self.adapted["image_encoder.FacTu.weight"])
        return F.linear(
            F.linear(low, self.adapted[f"{kind}_FacTs_{self.index:03d}"]), self.adapted["image_encoder.FacTv.weight"]
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._sam(f"{name}.weight"), self._sam(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self._sam(f"{name}.weight"), self._sam(f"{name}.bias"), 1e-6)

    def _sam(self, name: str) -> Tensor:
        return self.sam[f"image_encoder.blocks.{self.index}.{name}"]


class PlainMaSam:
    """The network in its plain form; decoder and resized position tables are those of `network`."""

    def __init__(self, files: Files, network: MaSamNetwork) -> None:
        self.network = network
        self.blocks = []
        for index, block in enumerate(network.image_encoder.blocks):
            assert isinstance(block, MaSamBlock)
            tables = (block.attn.rel_pos_h, block.attn.rel_pos_w)
            self.blocks.append(PlainBlock(files, index, network.sizes, tables))

    def __call__(self, stack: Tensor) -> Tensor:
        """Logits (N, T, S, S) of a stack of slices (N, S, S) in HU, embedded and stretched anew."""
        windowed = [network_slice(ABDOMINAL_CT.windowed(voxels.numpy()), len(voxels)) for voxels in stack]
        stretched = torch.stack([torch.from_numpy(pixels) for pixels in windowed])
        low, high = stretched.min(), stretched.max()
        return self.logits((stretched - low) / (high - low))

    def logits(self, image: Tensor) -> Tensor:
        """Logits (N, T, S, S) of a stack (N, S, S) as the network sees it."""
        encoder = self.network.image_encoder
        x = encoder.patch_embed(image[:, None].expand(-1, 3, -1, -1)) + encoder.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.network.decode(encoder.neck(x.movedim(-1, 1)))


class FastMaSam:
    """The network as it runs in a volume, where each further stack brings one new slice."""

    def __init__(self, network: MaSamNetwork) -> None:
        self.network, self.embedder = network, PatchEmbedder(network)
        self.kept: list[SlicePatches] = []

    def __call__(self, stack: Tensor) -> Tensor:
        """Logits (N, T, S, S) of a stack of slices (N, S, S) in HU; all but the last were in the stack before."""
        for voxels in stack[len(self.kept) :]:
            self.kept.append(self.embedder.of_slice(ABDOMINAL_CT.windowed(voxels.numpy())))
        tokens = self.embedder.of_stack(self.kept, ABDOMINAL_CT)
        self.kept.pop()
        return self.network.decode(self.network.embed(tokens))


def compare_forms(*, repeats: int = 2) -> EncoderForms:
    """Classify one random stack in each form, each in a process of its own; ViT-B with 12 classes.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    sizes = SamSizes(mask_tokens=13)
    return compare_apart(partial(prepared, sam=sizes, adapter_width=384, rank=32), repeats=repeats)


def prepared(form: str, *, sam: SamSizes, adapter_width: int, rank: int) -> tuple[Encode, Tensor]:
    """A form, "fast" or "plain", and a stack of slices in HU for it."""
    files = random_files(sam, adapter_width=adapter_width, rank=rank)
    network = fast_form(files)
    shape = (network.all_sizes.slices, *[network.sizes.image_size] * 2)
    stack = 40 + 120 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return FastMaSam(network) if form == "fast" else PlainMaSam(files, network), stack


def random_files(sam: SamSizes, *, adapter_width: int, rank: int, seed: int = 0) -> Files:
    """Tensors as in an MA-SAM file and in the SAM checkpoint under it, drawn so that no term is idle.

    `sam` has the sizes of the SAM, but as many mask tokens as there are classes with the background.
    """
    base = randomly_drawn(lambda: SamNetwork(sam), seed=seed)
    encoder = {key: value.detach() for key, value in base.state_dict().items() if key.startswith("image_encoder.")}
    # Only its decoder is taken: the adapted one goes on to the input's own size.
    other = replace(sam, width=48, depth=1, heads=1, global_blocks=(0,), upscaled=(*sam.upscaled, 16, 8))
    rest = SamNetwork(other).state_dict()
    adapted = {key: value.detach() for key, value in rest.items() if not key.startswith("image_encoder.")}
    for token in range(sam.mask_tokens):
        adapted[f"mask_decoder.output_hypernetworks_mlps.{token}.layers.2.weight"] *= _LOGIT_GAIN
    adapted["image_encoder.FacTu.weight"] = torch.randn(rank, sam.width) * sam.width**-0.5
    adapted["image_encoder.FacTv.weight"] = torch.randn(sam.width, rank) * 0.2 * rank**-0.5
    for index in range(sam.depth):
        for kind in ("q", "v"):
            adapted[f"{kind}_FacTs_{index:03d}"] = torch.randn(rank, rank) * rank**-0.5
        for suffix in ("", "_2"):
            adapted |= _random_adapter(sam.width, adapter_width, index, suffix)
    return adapted, encoder


def fast_form(files: Files) -> MaSamNetwork:
    """The network that the package uses, of the same tensors."""
    adapted, encoder = files
    # Merging works in place, and the plain form keeps SAM's own.
    state = merged(adapted, {key: value.clone() for key, value in encoder.items()}, name="random")
    sizes = MaSamSizes(read_sizes(state), len(state["image_encoder.blocks.0.adapters.0.here.bias"]))
    with torch.device("meta"):
        network = MaSamNetwork(sizes)
    load_strict(network, state, name="random")
    return network.eval()


def _random_adapter(width: int, hidden: int, index: int, suffix: str) -> dict[str, Tensor]:
    start = f"image_encoder.ImageEncoderViT.blocks.{index}.Block.adapter_"
    return {
        f"{start}norm{suffix}.weight": 1 + 0.1 * torch.randn(width),
        f"{start}norm{suffix}.bias": 0.1 * torch.randn(width),
        f"{start}linear_down{suffix}.weight": torch.randn(hidden, width) * width**-0.5,
        f"{start}conv{suffix}.weight": torch.randn(hidden, hidden, 3, 1, 1) * (3 * hidden) ** -0.5,
        f"{start}conv{suffix}.bias": 0.1 * torch.randn(hidden),
        f"{start}linear_up{suffix}.weight": torch.randn(width, hidden) * 0.5 * hidden**-0.5,
    }
