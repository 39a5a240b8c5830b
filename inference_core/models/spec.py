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
    LINE = "line across the target"
    SCRIBBLE = "scribble"
    LASSO = "outline in one slice"
    TEXT = "text"
    NONE = "automatic"


CLICKS = frozenset({PromptKind.POSITIVE_CLICK, PromptKind.NEGATIVE_CLICK})
STROKES = frozenset({PromptKind.LINE, PromptKind.SCRIBBLE, PromptKind.LASSO})


class IntensityRule(str, Enum):
    """How a window's raw values become a network's input."""

    LOCAL_AND_GLOBAL = "robust z-score of the window and of its center"
    FOREGROUND_ZSCORE = "z-score of the voxels above zero"
    EIGHT_BIT = "8-bit gray values: CT between -160 and 240 HU, else between the slice's 0.5th and 99.5th percentile"
    EIGHT_BIT_UNIT = "the same 8-bit gray values divided by 255, and not normalized any further"
    EIGHT_BIT_NORMALIZED = "the same 8-bit gray values in the mean and deviation of SAM's training"
    ABDOMEN_UNIT = "CT between -175 and 250 HU to 0..1, and not normalized any further"
    ABDOMEN_NORMALIZED = "CT between -175 and 250 HU to 0..1, less SAM's mean and over its deviation of 8-bit values"
    STACK_ABDOMEN = "CT between -200 and 250 HU, then each stack of slices stretched to 0..1"
    STACK_PANCREAS = "CT between -50 and 200 HU, then each stack of slices stretched to 0..1"
    STACK_RANGE = "from the volume's minimum to its 0.99 quantile, then each stack of slices stretched to 0..1"
    HOUNSFIELD = "Hounsfield units, clipped and scaled by the training data's statistics"


class ClickFrame(str, Enum):
    """The two coordinates by which a 2D network is told of a place on a slice, in the order in which it reads them."""

    X_Y = "column, row in pixels of the network's input"
    ROW_COLUMN = "row, column in pixels of the network's input"
    ROW_COLUMN_UNSCALED = "row, column in pixels of 1.5 mm of the slice, whatever the size of the network's input"


PRECISIONS = ("auto", "float32", "bfloat16")
"""What encoders can be told to compute in (`blocks.precision`)."""


class Padding(str, Enum):
    """What a window shows beyond the edge of the volume."""

    REFLECT = "reflect"
    ZERO = "zero"
    MEAN = "the training data's mean, zero after scaling"
    EDGE = "the last slice again"


class Layout(str, Enum):
    """What a window is cut as."""

    CUBE = "cubic voxels in axes nearest to RAS"
    SLICES = "the volume's own slices, whole, one or several adjacent ones"


@dataclass(frozen=True)
class HounsfieldScale:
    """How `IntensityRule.HOUNSFIELD` scales: clip to low..high HU, take the mean off, divide by the deviation."""

    low: float
    high: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class WindowSpec:
    """The window a model looks through.

    shape in voxels; spacings (mm) to try for a first click, finest first; what is shown beyond the
    volume; whether the model was trained at every spacing between them, so that a box may choose its own; where the
    authors' script has a window and a way of its own, the function "package.module:function" that reproduces them
    (see `models.original`). With `Layout.SLICES`, shape is what the
    network sees after its own resizing, shape[2] the number of adjacent slices, and there are no spacings: a window is
    shape[2] whole slices of the volume on the volume's own voxels, the slice axis last. `overlapping` says whether a
    slice is seen in every window that holds it, and the answers averaged, or in one of windows laid end to end.
    """

    shape: tuple[int, int, int]
    spacings: tuple[float, ...]
    padding: Padding
    any_spacing: bool = False
    original: str | None = None
    layout: Layout = Layout.CUBE
    overlapping: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """An official weights file: where it is fetched from, its size in bytes, its sha256 where one is known.

    Without a url that a program can fetch from, `page` is where a person finds it.
    """

    url: str | None
    filename: str
    size_bytes: int | None = None
    sha256: str | None = None
    bundled: bool = False
    page: str | None = None

    @property
    def most_bytes(self) -> int | None:
        """What weights of this model may take in memory: in float32 and of another size than the published ones."""
        return None if self.size_bytes is None else 4 * self.size_bytes + 2**28


@dataclass(frozen=True)
class ModelSpec:
    """All facts about a model that panel, command line, README table and contract tests read.

    `builder` is "package.module:function"; the function takes the spec, a weights path and a device, and a `precision`,
    and returns a model of `inference_core.models.interface`. `base` names the model whose weights the builder needs as
    well (its keyword argument `base`), because the checkpoint holds only what was adapted. `clicks` and
    `clicks_by_slice` (each slice of a chunk is told of its own clicks, not of all) matter to models of slices only.
    `cautions` are empty in the registry: a builder puts there what its file lacks or leaves open, one sentence each,
    for the user to see whenever the model is used.

    `reads_text`: whether weights of it can learn to read texts. Of those that did, the builder adds
    `PromptKind.TEXT` to the kinds; it takes a `text_encoder` (`models.text_encoder`).

    `prompt_kinds` are those the network itself reads. `session_kinds` are those the session answers for in its place: a
    background click by click consistency alone, a box by where the window lies and a click at its center.
    """

    name: str
    title: str
    builder: str
    window: WindowSpec
    intensity: IntensityRule
    prompt_kinds: frozenset[PromptKind]
    checkpoint: Checkpoint
    license: str
    paper: str
    classes: tuple[str, ...] = ("target",)
    notes: str = ""
    base: str | None = None
    session_kinds: frozenset[PromptKind] = frozenset()
    hounsfield: HounsfieldScale | None = None
    clicks: ClickFrame = ClickFrame.X_Y
    clicks_by_slice: bool = False
    cautions: tuple[str, ...] = ()
    reads_text: bool = False

    @property
    def automatic(self) -> bool:
        """Whether the model finds its classes by itself (`interface.AutomaticModel`) instead of being prompted."""
        return PromptKind.NONE in self.prompt_kinds

    @property
    def accepted_kinds(self) -> frozenset[PromptKind]:
        """All kinds of prompts that a user may give."""
        return self.prompt_kinds | self.session_kinds
