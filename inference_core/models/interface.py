"""The one interface that every model family offers: encode a window once, decode it for every change of the prompts.

Legend: B batch, C channels, D H W the window's (i, j, k) axes, d h w the same at the decoder's resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import ModelError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.spec import ModelSpec
from inference_core.prompts.encoding import WindowPrompts

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowImage:
    """Voxels of one window as they are in the volume, float32 (D, H, W), and where the window lies."""

    array: Float32
    grid: Grid


@dataclass(frozen=True, eq=False)
class Embedding:
    """What an encoder keeps of a window: named tensors on the model's device, and where the window lies."""

    tensors: dict[str, Tensor]
    grid: Grid

    @property
    def nbytes(self) -> int:
        """Memory the tensors take."""
        return sum(tensor.element_size() * tensor.nelement() for tensor in self.tensors.values())


@dataclass(frozen=True, eq=False)
class Decoded:
    """Low-res logits float32 (d, h, w) covering the whole window edge to edge, and the predicted quality (IoU, 0..1).

    Of a `SliceModel` the low-res logits are as its network gives them, padding included; `to_voxels` maps them back.

    `quality` is None where the model has no trained quality head.
    """

    low_res_logits: Float32
    quality: float | None


class PromptableModel(Protocol):
    """A loaded model on a device. Not thread-safe: all calls come from one thread."""

    @property
    def spec(self) -> ModelSpec:
        """The registry entry this model was built from."""
        ...

    @property
    def device(self) -> str:
        """The torch device the model runs on."""
        ...

    def encode(self, window: WindowImage) -> Embedding:
        """Encode raw voxels; the family's intensity rule is applied here."""
        ...

    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode a mask; `prior` are the previous low-res logits (d, h, w) in the same window, or None at first."""
        ...


class SliceModel(PromptableModel, Protocol):
    """A model whose windows are whole slices (`Layout.SLICES`): (nx, ny, n) voxels of the volume, slice axis last."""

    def to_voxels(self, low_res_logits: Float32, shape: tuple[int, int, int]) -> Float32:
        """Low-res logits to logits (nx, ny, n) on the window's own voxels, as the authors' code resizes them."""
        ...

    def to_low_res(self, logits: Float32) -> Float32:
        """Logits (nx, ny, n) on a window's voxels as low-res logits, to start from a mask (`PromptKind.MASK`)."""
        ...


class StackClassifier(Protocol):
    """An automatic model at work on one volume; it keeps what it needs of the slices it saw last."""

    def classify(self, numbers: Sequence[int]) -> Float32:
        """Class probabilities (K + 1, nx, ny, n) of a stack of slices, which are given by their numbers in the volume.

        Class 0 is the background. A number may stand there twice: beyond the volume the last slice is repeated.
        """
        ...


class AutomaticModel(Protocol):
    """A model that needs no prompt: it finds all of its spec's classes in stacks of spec.window.shape[2] slices."""

    @property
    def spec(self) -> ModelSpec:
        """The registry entry this model was built from."""
        ...

    @property
    def device(self) -> str:
        """The torch device the model runs on."""
        ...

    def on(self, slices: Volume) -> StackClassifier:
        """Begin with a volume whose last axis is across its slices (`geometry.slices.slices_last`)."""
        ...


Model = PromptableModel | AutomaticModel
"""What `open_model` gives; `model.spec.automatic` says which."""


def promptable(model: Model) -> PromptableModel:
    """The model as one that takes prompts.

    Raises:
        ModelError: it takes none.
    """
    if model.spec.automatic:
        raise ModelError(
            "{title} takes no prompts: it finds its classes by itself; choose another model.", title=model.spec.title
        )
    return cast("PromptableModel", model)


@runtime_checkable
class ReadsTexts(Protocol):
    """A model whose weights may have learned to be told in words: then its spec takes `PromptKind.TEXT`."""

    def read_texts_with(self, folder: Path, *, name: str = "") -> None:
        """Read texts with the CLIP in a folder (`models.text_encoder`), in place of the one before.

        Raises:
            CheckpointError: the folder is no CLIP's, or the weights learned texts with another one.
            ModelError: they learned none, or the library that reads tokenizers is not installed.
        """
        ...


def automatic(model: Model) -> AutomaticModel:
    """The model as one that needs no prompts.

    Raises:
        ModelError: it needs them.
    """
    if not model.spec.automatic:
        raise ModelError(
            "{title} finds nothing by itself; give it a prompt, or choose another model.", title=model.spec.title
        )
    return cast("AutomaticModel", model)
