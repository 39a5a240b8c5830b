"""MA-SAM (arXiv:2309.08842): SAM's encoder made to see five adjacent slices at a time.

In its automatic form it finds its classes without a prompt; in its box form it is told of one target by a 3D box, of
which all slices of a stack are given the same rectangle. The network is in `network`, how gray values become its input
in `preprocess`, the files in `checkpoint`.

Legend: N slices of a stack, g the side of the token grid, C channels, S the side of the input, T classes with the
background.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference_core.errors import CheckpointError, ModelError, PromptError
from inference_core.geometry.grid import Float
from inference_core.geometry.volume import Volume
from inference_core.models.blocks.precision import resolve_precision
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.ma_sam.checkpoint import load_network
from inference_core.models.ma_sam.network import MaSamNetwork
from inference_core.models.ma_sam.patches import PatchEmbedder, SlicePatches
from inference_core.models.ma_sam.preprocess import (
    ABDOMINAL_CT,
    PANCREATIC_CT,
    GrayRule,
    box_in_pixels,
    check_finite,
    network_slice,
    on_voxels,
    range_of,
)
from inference_core.models.spec import IntensityRule, ModelSpec
from inference_core.prompts.encoding import WindowPrompts, cross_section

_RULES: dict[IntensityRule, Callable[[Volume], GrayRule]] = {
    IntensityRule.STACK_ABDOMEN: lambda _volume: ABDOMINAL_CT,
    IntensityRule.STACK_PANCREAS: lambda _volume: PANCREATIC_CT,
    IntensityRule.STACK_RANGE: range_of,
}


def gray_rule(intensity: IntensityRule, slices: Volume) -> GrayRule:
    """How a volume's gray values are read by a model with this rule.

    Raises:
        VolumeError: the rule goes by the volume's range, and it has none.
    """
    return _RULES[intensity](slices)


class MaSamReader:
    """MA-SAM at work on one volume without prompts."""

    def __init__(self, model: MaSam, slices: Volume) -> None:
        self.model, self.slices = model, slices
        check_finite(slices.array, slices.name)
        self.rule = gray_rule(model.spec.intensity, slices)
        self._kept: OrderedDict[int, SlicePatches] = OrderedDict()

    @torch.inference_mode()
    def classify(self, numbers: Sequence[int]) -> Float32:
        """Class probabilities (T, nx, ny, n) of the slices with these numbers."""
        tokens = self.tokens(numbers).to(self.model.device)
        network = self.model.network
        logits = network.decode(network.embed(tokens))
        shape = (self.slices.array.shape[0], self.slices.array.shape[1])
        return np.asarray(on_voxels(logits.softmax(dim=1), shape).permute(1, 2, 3, 0).cpu().numpy())

    def tokens(self, numbers: Sequence[int]) -> Tensor:
        """The patch embeddings (N, g, g, C) of a stack, on the CPU."""
        return self.model.embedder.of_stack([self._patches(number) for number in numbers], self.rule)

    def _patches(self, number: int) -> SlicePatches:
        if number not in self._kept:
            self._kept[number] = self.model.embedder.of_slice(self.rule.windowed(self.slices.array[:, :, number]))
            if len(self._kept) > self.model.spec.window.shape[2]:
                self._kept.popitem(last=False)
        return self._kept[number]


class _Loaded:
    """A network on a device, and the spec as the file has it."""

    def __init__(self, spec: ModelSpec, network: MaSamNetwork, device: str, *, precision: str = "auto") -> None:
        self.spec = _fitted(spec, network)
        network.precision = resolve_precision(precision, device)
        self.device = device
        self.embedder = PatchEmbedder(network)
        self.network = network.to(device).eval()


class MaSam(_Loaded):
    """MA-SAM as an automatic model."""

    def on(self, slices: Volume) -> MaSamReader:
        """Begin with a volume whose last axis is across its slices.

        Raises:
            VolumeError: it has voxels that are not finite, or gray values that cannot be scaled.
        """
        return MaSamReader(self, slices)


class MaSamBox(_Loaded):
    """MA-SAM as a slice model that is told of one target by boxes."""

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        """Encode a stack (nx, ny, n) of whole slices.

        Raises:
            ModelError: it has another number of slices.
            VolumeError: a voxel is not finite.
        """
        count = self.spec.window.shape[2]
        if window.array.shape[2] != count:
            raise ModelError(
                "{title} looks at {count} slices at a time, not {value}.",
                title=self.spec.title,
                count=count,
                value=window.array.shape[2],
            )
        check_finite(window.array, "The image")
        rule = PANCREATIC_CT
        patches = [self.embedder.of_slice(rule.windowed(window.array[:, :, k])) for k in range(count)]
        tokens = self.embedder.of_stack(patches, rule).to(self.device)
        return Embedding({"image_embedding": self.network.embed(tokens)}, window.grid)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode the boxes, each by itself and then united; the network takes no earlier logits.

        The logits (S, S, n), as (column, row, slice), are those of the target against the background.

        Raises:
            PromptError: there is no box.
        """
        if len(prompts.boxes) == 0:
            raise PromptError("{title} needs a 3D box; draw one around the target.", title=self.spec.title)
        answers = [self._foreground(embedding, self._rectangle(box, embedding)) for box in prompts.boxes]
        logits = torch.stack(answers).amax(dim=0)
        return Decoded(np.ascontiguousarray(logits.float().cpu().numpy().transpose(2, 1, 0)), None)

    @torch.inference_mode()
    def to_voxels(self, low_res_logits: Float32, shape: tuple[int, int, int]) -> Float32:
        """Logits (S, S, n), as (column, row, slice), on the voxels (nx, ny, n) of the stack."""
        maps = torch.from_numpy(np.ascontiguousarray(low_res_logits.transpose(2, 1, 0)))
        return np.ascontiguousarray(on_voxels(maps, shape[:2]).numpy().transpose(1, 2, 0))

    @torch.inference_mode()
    def to_low_res(self, logits: Float32) -> Float32:
        """Logits (nx, ny, n) on the voxels of a stack as (S, S, n): what `to_voxels` undoes."""
        slices = [network_slice(logits[:, :, k], self.embedder.size).T for k in range(logits.shape[2])]
        return np.stack(slices, axis=-1)

    def _rectangle(self, corners: Float, embedding: Embedding) -> Tensor:
        """The box of every slice (n, 4): around all of the 3D box's cuts through the stack, within the slice."""
        nx, ny, count = embedding.grid.shape
        cuts = np.array([cross_section(corners, k) for k in range(count)])
        low, high = (
            np.clip(edge, -0.5, np.array([nx, ny]) - 0.5) for edge in (cuts[:, :2].min(axis=0), cuts[:, 2:].max(axis=0))
        )
        box = box_in_pixels(low, high, shape=(nx, ny), size=self.embedder.size)
        return torch.tensor(box, dtype=torch.float32, device=self.device).expand(count, 4)

    def _foreground(self, embedding: Embedding, boxes: Tensor) -> Tensor:
        """Logits (n, S, S) whose sigmoid is the softmax of the target among the two classes."""
        logits = self.network.decode(embedding.tensors["image_embedding"], boxes)
        return logits[:, 1] - logits[:, 0]


def build(
    spec: ModelSpec, weights_path: Path, device: str, *, base: Path | None = None, precision: str = "auto"
) -> MaSam:
    """Build the automatic form from a file of MA-SAM's training and the SAM checkpoint it adapted.

    Raises:
        CheckpointError: one of them does not fit, or the SAM checkpoint is missing (`checkpoint.load_network`).
    """
    return MaSam(spec, _network(spec, weights_path, base, boxes=False), device, precision=precision)


def build_box(
    spec: ModelSpec, weights_path: Path, device: str, *, base: Path | None = None, precision: str = "auto"
) -> MaSamBox:
    """Build the box form, likewise.

    Raises:
        CheckpointError: as `build`.
    """
    return MaSamBox(spec, _network(spec, weights_path, base, boxes=True), device, precision=precision)


def _network(spec: ModelSpec, path: Path, base: Path | None, *, boxes: bool) -> MaSamNetwork:
    network = load_network(path, base, boxes=boxes, most_bytes=spec.checkpoint.most_bytes)
    found = network.all_sizes.classes
    if len(spec.classes) == 1 and found != 1:
        raise CheckpointError(
            "'{name}' tells {found} classes apart, but {title} finds one; choose 'ma_sam' for it.",
            name=path.name,
            found=found,
            title=spec.title,
        )
    return network


def _fitted(spec: ModelSpec, network: MaSamNetwork) -> ModelSpec:
    """The spec with the window and the number of classes that the file turned out to have."""
    sizes = network.all_sizes
    side = sizes.sam.image_size
    names = (
        spec.classes if len(spec.classes) == sizes.classes else tuple(f"class {n + 1}" for n in range(sizes.classes))
    )
    return replace(spec, window=replace(spec.window, shape=(side, side, sizes.slices)), classes=names)
