"""What is known of a model before it is loaded. Importing this file loads neither torch nor SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PromptKind(str, Enum):
    """A way of telling a model what to segment."""

    POSITIVE_CLICK = "positive click"
    NEGATIVE_CLICK = "negative click"
    BOX = "3D box"
    MASK = "initial mask"
    NONE = "automatic"


class IntensityRule(str, Enum):
    """How a window's raw values become a network's input."""

    LOCAL_AND_GLOBAL = "robust z-score of the window and of its centre"
    FOREGROUND_ZSCORE = "z-score of the voxels above zero"


class Padding(str, Enum):
    """What a window shows beyond the edge of the volume."""

    REFLECT = "reflect"
    ZERO = "zero"
    EDGE = "the last slice again"


class Layout(str, Enum):
    """What a window is cut as."""

    CUBE = "cubic voxels in axes nearest to RAS"
    SLICES = "the volume's own slices, whole, one or several adjacent ones"


@dataclass(frozen=True)
class WindowSpec:
    """The window a model looks through.

    shape in voxels; spacings (mm) to try for a first click, finest first; what is shown beyond the
    volume; whether the model was trained at every spacing between them, so that a box may choose its own; whether the
    authors' script has a window of its own that `engine.official` reproduces. With `Layout.SLICES`, shape is what the
    network sees after its own resizing, shape[2] the number of adjacent slices, and there are no spacings: a window is
    shape[2] whole slices of the volume on the volume's own voxels, the slice axis last.
    """

    shape: tuple[int, int, int]
    spacings: tuple[float, ...]
    padding: Padding
    any_spacing: bool = False
    official: bool = False
    layout: Layout = Layout.CUBE


@dataclass(frozen=True)
class Checkpoint:
    """An official weights file: where it is fetched from, its size in bytes, its sha256 where one is known."""

    url: str | None
    filename: str
    size_bytes: int | None = None
    sha256: str | None = None
    bundled: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """All facts about a model that panel, command line, README table and contract tests read.

    `builder` is "package.module:function"; the function takes a weights path and a device and returns a
    `inference_core.models.interface.PromptableModel`. `base` names the model whose weights the builder needs as well
    (its keyword argument `base`), because the checkpoint holds only what was adapted.
    """

    name: str
    title: str
    builder: str
    window: WindowSpec
    intensity: IntensityRule
    prompt_kinds: frozenset[PromptKind]
    checkpoint: Checkpoint
    licence: str
    paper: str
    classes: tuple[str, ...] = ("target",)
    notes: str = ""
    base: str | None = None
