"""How much memory one training step of a published model takes at full size, counted and not measured.

    python -m inference_core.training.activations

A forward pass on the meta device computes nothing; autograd tells what it would keep for the way back. With
checkpointing that is each block's input and, while a block is computed again, what is kept within the one that keeps
the most. Attention keeps its inputs and output, as the fused kernels do. Activations are counted in float32, an upper
bound of bfloat16, where they take between half of it and all of it. Weights, their gradients and the optimizer's two
moments are float32 in either; the copies of the weights that autocast makes are counted too. Temporary results of a
single layer are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.training.checkpointing import blocks_of
from inference_core.training.config import TrainConfig
from inference_core.training.optimization import train_only, trained_count

GIGABYTE = 1e9
_FLOAT = 4
_MOMENTS_AND_GRADIENT = 3
_CONFIG = TrainConfig(Path("unused"))


@dataclass
class Kept:
    """Bytes kept for the way back by storage: outside of the blocks, the blocks' inputs, and within each block."""

    weights: set[int] = field(default_factory=set)
    outside: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    within: list[dict[int, int]] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)

    def note(self, tensor: Tensor, where: dict[int, int]) -> None:
        """Count a tensor's storage once; weights are counted elsewhere."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.weights:
            self.held.append(storage)  # a storage that is freed could give its name to another one
            where[storage._cdata] = storage.nbytes()

    @property
    def checkpointed(self) -> int:
        """At the way back's peak, with checkpointing."""
        most = max((sum(block.values()) for block in self.within), default=0)
        return sum({**self.outside, **self.inputs}.values()) + most

    @property
    def plain(self) -> int:
        """Without checkpointing."""
        merged = {key: value for part in (self.outside, self.inputs, *self.within) for key, value in part.items()}
        return sum(merged.values())


def counted(network: nn.Module, forward: Callable[[], Tensor]) -> Kept:
    """What a forward pass of a network on the meta device keeps."""
    kept = Kept({value.untyped_storage()._cdata for value in network.state_dict().values()})
    with _blocks_apart(network, kept), _FusedAttention(), _keeping(kept, kept.outside):
        forward()
    return kept


def fixed_bytes(network: nn.Module) -> int:
    """Weights with their copies in bfloat16, and of those that are trained the gradient and the optimizer's moments."""
    weights = sum(value.numel() for value in network.state_dict().values())
    return (_FLOAT + _FLOAT // 2) * weights + _FLOAT * _MOMENTS_AND_GRADIENT * trained_count(network)


@contextmanager
def _keeping(kept: Kept, where: dict[int, int]) -> Iterator[None]:
    def pack(tensor: Tensor) -> Tensor:
        kept.note(tensor, where)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


@contextmanager
def _blocks_apart(network: nn.Module, kept: Kept) -> Iterator[None]:
    """Count within each block that `checkpoint_blocks` would compute twice by itself."""
    changed = [(block, block.forward) for block in blocks_of(network)]
    for block, forward in changed:
        block.forward = _apart(forward, kept)
    try:
        yield
    finally:
        for block, forward in changed:
            block.forward = forward


def _apart(forward: Callable[..., Any], kept: Kept) -> Callable[..., Any]:
    def counting(*given: Any) -> Any:
        for tensor in given:
            if isinstance(tensor, Tensor):
                kept.note(tensor, kept.inputs)
        kept.within.append({})
        with _keeping(kept, kept.within[-1]):
            return forward(*given)

    return counting


class _Fused(torch.autograd.Function):
    """Attention that keeps queries, keys, values, bias and result."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        result = q.new_empty(*q.shape[:-1], v.shape[-1])
        ctx.save_for_backward(*(given for given in (q, k, v, bias, result) if given is not None))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        raise NotImplementedError("nothing goes back here")


class _FusedAttention(TorchFunctionMode):
    """Puts that in place of PyTorch's, which on the meta device keeps every logit."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function is F.scaled_dot_product_attention:
            bias = given.get("attn_mask", args[3] if len(args) > 3 else None)
            return _Fused.apply(*args[:3], bias)  # type: ignore[no-untyped-call]
        return function(*args, **given)


def _sam3d_adapter() -> tuple[nn.Module, Callable[[], Tensor]]:
    from inference_core.models.sam3d_adapter.checkpoint import freeze_as_published
    from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork
    from inference_core.training.losses import foreground_dice_and_cross_entropy

    network = Sam3DAdapterNetwork(Sam3DAdapterConfig())
    freeze_as_published(network)
    image, points = torch.empty(1, 1, 128, 128, 128), torch.empty(30, 3)
    target = torch.empty(1, 128, 128, 128, dtype=torch.long)
    return network, lambda: foreground_dice_and_cross_entropy(network(image, points), target)


def _medical_sam_adapter(rule: str, size: int, slices: int) -> tuple[nn.Module, Callable[[], Tensor]]:
    from inference_core.models.medical_sam_adapter.network import AdaptedSizes, adapted_network
    from inference_core.models.medical_sam_adapter.starting import Start
    from inference_core.training.recipes.medical_sam_adapter import MedicalSamAdapterRecipe

    sizes = AdaptedSizes(SamSizes(image_size=size), tables=None, residual=True)
    network = adapted_network(sizes, depth=(lambda images, entries: slices) if slices > 1 else None)
    recipe = MedicalSamAdapterRecipe(_CONFIG, Start(network, sizes, torch.empty(1, 64, 64, 768)), rule=rule)
    images, points = torch.empty(slices, 3, size, size), torch.empty(slices, 1, 2)
    labels = torch.ones(slices, 1, dtype=torch.long)
    return network, lambda: recipe.answer(network.image_encoder(images), points, labels, samples=1).sigmoid().sum()


def _ma_sam() -> tuple[nn.Module, Callable[[], Tensor]]:
    from inference_core.models.ma_sam.factor_tuning import TRAINED, TrainableMaSam
    from inference_core.models.ma_sam.network import MaSamSizes
    from inference_core.training.losses import class_dice_and_cross_entropy

    sizes = SamSizes(image_size=512, mask_tokens=13, upscaled=(64, 32, 16, 8))
    network = TrainableMaSam(MaSamSizes(sizes, adapter_width=384), rank=32)
    train_only(network, TRAINED)
    images, labels = torch.empty(5, 3, 512, 512), torch.empty(5, 512, 512, dtype=torch.long)
    return network, lambda: class_dice_and_cross_entropy(network.decode(network.image_encoder(images)), labels)


def _sam_med3d() -> tuple[nn.Module, Callable[[], Tensor]]:
    from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
    from inference_core.training.losses import dice_and_cross_entropy
    from inference_core.training.recipes.sam_med3d import PLAN

    network = SamMed3DNetwork(SamMed3DConfig())
    image, target = torch.empty(1, 1, 128, 128, 128), torch.empty(1, 1, 128, 128, 128)
    points, labels = torch.empty(1, 1, 3), torch.ones(1, 1, dtype=torch.long)

    def forward() -> Tensor:
        embedding, prompts = network.image_encoder(image), network.prompt_encoder
        low, loss = torch.empty(1, 1, *[4 * network.config.grid] * 3), torch.zeros(())
        for _ in range(PLAN.clicks):
            sparse, dense = prompts(points, labels, low)
            low = network.mask_decoder(embedding, prompts.dense_pe(), sparse=sparse, dense=dense)[0][:, :1]
            logits = F.interpolate(low, size=target.shape[2:], mode="trilinear", align_corners=False)
            loss = loss + dice_and_cross_entropy(logits, target)
        return loss

    return network, forward


def _sam(scope: str, sizes: SamSizes) -> tuple[nn.Module, Callable[[], Tensor]]:
    from dataclasses import replace

    from inference_core.training.recipes.sam import PLAN, SamRecipe

    recipe = SamRecipe(replace(_CONFIG, scope=scope), SamNetwork(sizes))
    images, target = torch.empty(1, 3, 1024, 1024), torch.empty(1, 1, 1024, 1024)

    def forward() -> Tensor:
        with torch.set_grad_enabled(recipe.encoder_learns):
            embedding = recipe.network.image_encoder(images)
        low, loss = None, torch.zeros(())
        for turn in range(PLAN.clicks):
            points = torch.empty(1, turn + 1, 2), torch.ones(1, turn + 1, dtype=torch.long)
            answers, qualities = recipe._answers(embedding, points, None, low)
            kept = slice(1, None) if turn == 0 else slice(0, 1)
            error, _ = recipe._error(answers[:, kept], qualities[:, kept], target)
            loss, low = loss + error, answers[:, :1]
        return loss

    return recipe.network, forward


_HUGE = SamSizes(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))
FULL_SIZE: dict[str, Callable[[], tuple[nn.Module, Callable[[], Tensor]]]] = {
    "sam3d_adapter": _sam3d_adapter,
    "medical_sam_adapter": lambda: _medical_sam_adapter("medical_sam_adapter", 1024, 1),
    "medical_sam_adapter_3d": lambda: _medical_sam_adapter("medical_sam_adapter_3d", 256, 8),
    "ma_sam": _ma_sam,
    "sam_med3d": _sam_med3d,
    "sam": lambda: _sam("decoder", SamSizes()),
    "sam, lora": lambda: _sam("lora", SamSizes()),
    "sam_vit_h, lora": lambda: _sam("lora", _HUGE),
}


def main() -> None:
    """Print a row for each model: GB of weights and what goes with them, and of activations without and with it."""
    print("model  weights+gradients+moments  activations  with checkpointing  together")  # noqa: T201
    for name, make in FULL_SIZE.items():
        with torch.device("meta"):
            network, forward = make()
            network.train()
            kept = counted(network, forward)
        fixed = fixed_bytes(network)
        figures = (fixed, kept.plain, kept.checkpointed, fixed + kept.checkpointed)
        print(name, *(f"{value / GIGABYTE:.2f}" for value in figures), sep="  ")  # noqa: T201


if __name__ == "__main__":
    main()
