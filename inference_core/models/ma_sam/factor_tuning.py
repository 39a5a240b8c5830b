"""MA-SAM's factor-tuned attention (FacT, Jie & Deng 2023) as it is trained, and the file that training leaves.

For inference these parts are added into SAM's own weights (`checkpoint`); to be trained they stand beside them:

    q <- q + V drop(Sq U t),    v <- v + V drop(Sv U t),    k as it is,

with U and V shared by the whole network and Sq, Sv of each block (the authors' scale is 1).

Legend: C channels, r rank, c the adapters' width, T classes with the background.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from inference_core.models.blocks.sam_attention import GridAttention
from inference_core.models.blocks.sam_sizes import read_sizes
from inference_core.models.ma_sam.checkpoint import INPUT_SHARE, table_for
from inference_core.models.ma_sam.network import MaSamNetwork, MaSamSizes, SliceAdapter

_RANK, _ADAPTER_WIDTH = 32, 384
_DROPOUT = 0.1
_NOT_FROM_SAM = ("mask_tokens", "output_hypernetworks_mlps", "iou_prediction_head")
TRAINED = r"\.adapters\.|^factors\.|\.qkv\.(queries|values)\.|^prompt_encoder\.|^mask_decoder\."
"""What the authors train; the rest of the image encoder stays SAM's."""


class Factors(nn.Module):
    """U (r, C) and V (C, r), one pair for the whole network; V begins at zero, so that nothing is added at first."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, rank, bias=False)
        self.out = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.out.weight)


class FactorTuned(nn.Module):
    """SAM's projection to queries, keys and values, and what is added to the first and the last of them."""

    def __init__(self, projection: nn.Linear, factors: Factors) -> None:
        super().__init__()
        rank = factors.into.out_features
        self.projection = projection
        self.queries, self.values = nn.Linear(rank, rank, bias=False), nn.Linear(rank, rank, bias=False)
        self.drop = nn.Dropout(_DROPOUT)
        # In a tuple, so that the factors are the network's alone and not every block's too.
        self._shared = (factors,)

    @property
    def weight(self) -> Tensor:
        """The projection's weight (3C, C) with the factors added in."""
        (factors,) = self._shared
        added = [factors.out.weight @ core.weight @ factors.into.weight for core in (self.queries, self.values)]
        return self.projection.weight + torch.cat([added[0], torch.zeros_like(added[0]), added[1]])

    @property
    def bias(self) -> Tensor:
        """The projection's own bias (3C,)."""
        return self.projection.bias

    def forward(self, x: Tensor) -> Tensor:
        (factors,) = self._shared
        queries, keys, values = self.projection(x).chunk(3, dim=-1)
        inner = factors.into(x)
        queries = queries + factors.out(self.drop(self.queries(inner)))
        values = values + factors.out(self.drop(self.values(inner)))
        return torch.cat([queries, keys, values], dim=-1)


class TrainableMaSam(MaSamNetwork):
    """MA-SAM with its factor-tuned parts apart."""

    def __init__(self, sizes: MaSamSizes, rank: int) -> None:
        super().__init__(sizes)
        self.rank = rank
        self.factors = Factors(sizes.sam.width, rank)
        for attention in self.modules():
            if isinstance(attention, GridAttention):
                attention.qkv = FactorTuned(attention.qkv, self.factors)  # type: ignore[assignment]
        for module in self.modules():
            if isinstance(module, SliceAdapter):
                _draw_taps(module)


def start_from_sam(state: Mapping[str, Tensor], *, classes: int, image_size: int = 0) -> TrainableMaSam:
    """MA-SAM to be trained on a SAM checkpoint's state, at half of SAM's input where no other size is asked for.

    What SAM has no counterpart of is freshly drawn, as are the mask tokens and their heads (specification 4.2).

    Raises:
        SIZE_ERRORS: the state is not that of a SAM.
    """
    sam = read_sizes(state)
    size = image_size or sam.image_size // INPUT_SHARE
    width = sam.prompt_width
    upscaled = tuple(max(1, width // share) for share in (4, 8, 16, 32))
    sizes = MaSamSizes(
        replace(sam, image_size=size, mask_tokens=classes + 1, upscaled=upscaled),
        adapter_width=min(_ADAPTER_WIDTH, sam.width // 2),
    )
    network = TrainableMaSam(sizes, rank=min(_RANK, max(1, sam.width // 8)))
    own = network.state_dict()
    given = _resized(state, sam.grid, sizes.sam.grid)
    network.load_state_dict({**own, **{name: value for name, value in given.items() if _fits(name, value, own)}})
    return network


def official_delta(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the authors' `save_parameters` writes, of a `TrainableMaSam`'s weights: all but what stayed SAM's."""
    delta = {"image_encoder.FacTu.weight": weights["factors.into.weight"],
             "image_encoder.FacTv.weight": weights["factors.out.weight"]}  # fmt: skip
    for name, value in weights.items():
        if name.startswith(("prompt_encoder.", "mask_decoder.")):
            delta[name] = value
        elif ".qkv.queries." in name or ".qkv.values." in name:
            kind = "q" if ".queries." in name else "v"
            delta[f"{kind}_FacTs_{int(name.split('.')[2]):03d}"] = value
        elif ".adapters." in name and not name.endswith((".before", ".after")):
            delta[_adapter_name(name)] = _with_taps(name, value, weights)
    return {name: value.detach().clone().contiguous() for name, value in delta.items()}


def _adapter_name(name: str) -> str:
    """`image_encoder.blocks.I.adapters.N.PART` as the authors call it."""
    _, _, index, _, which, *part = name.split(".")
    official = {"norm": "norm", "down": "linear_down", "here": "conv", "up": "linear_up"}[part[0]]
    suffix = "_2" if which == "1" else ""
    return f"image_encoder.ImageEncoderViT.blocks.{index}.Block.adapter_{official}{suffix}.{part[1]}"


def _with_taps(name: str, value: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    if not name.endswith(".here.weight"):
        return value
    place = name.removesuffix(".here.weight")
    taps = torch.stack([weights[f"{place}.before"], value, weights[f"{place}.after"]], dim=2)
    return taps[..., None, None]


def _draw_taps(adapter: SliceAdapter) -> None:
    """As PyTorch draws a convolution (3, 1, 1)."""
    bound = 1 / math.sqrt(3 * adapter.here.in_features)
    for tap in (adapter.before, adapter.here.weight, adapter.here.bias, adapter.after):
        nn.init.uniform_(tap, -bound, bound)


def _resized(state: Mapping[str, Tensor], grid: int, wanted: int) -> dict[str, Tensor]:
    return {
        name.replace(".attn.qkv.", ".attn.qkv.projection."): table_for(name, value, grid=grid, wanted=wanted)
        for name, value in state.items()
    }


def _fits(name: str, value: Tensor, own: Mapping[str, Tensor]) -> bool:
    return name in own and own[name].shape == value.shape and not any(part in name for part in _NOT_FROM_SAM)
