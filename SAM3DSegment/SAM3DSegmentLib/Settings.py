"""How answers become masks: what the panel's controls set, as values that can be compared and kept.

What is the computer's or the scene's is in `Settings`; what belongs to one segment, and is undone with it, is in
`SegmentSettings`.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_core.engine.mask_composition import MaskOptions


@dataclass(frozen=True)
class Settings:
    """Which model answers and where, and what becomes of other segments.

    precision is of the encoder. weights: a folder of adapted weights for the default model, "" for those installed.
    othersAreBackground: keep out of all other segments. overwrite: "none", "visible" or "all", what may become of other
    segments' voxels. textEncoder: the folder of the CLIP that reads prompts in words, "" for none.
    """

    model: str
    device: str = "auto"
    precision: str = "auto"
    othersAreBackground: bool = False
    overwrite: str = "none"
    weights: str = ""
    textEncoder: str = ""

    @property
    def loading(self) -> tuple[str, str, str, str]:
        """What a model is loaded by: its name, the device, the precision, and weights that were adapted."""
        return self.model, self.device, self.precision, self.weights


@dataclass(frozen=True)
class SegmentSettings:
    """How one segment's answers are cut.

    threshold is a logit. windowMm: how far to look around clicks (None: the model tries several widths).
    localRadiusMm: what a new prompt may change lies this near to it (None: anywhere).
    """

    threshold: float = 0.0
    smoothingMm: float = 0.0
    windowMm: float | None = None
    keepClickedPieces: bool = True
    localRadiusMm: float | None = None

    @property
    def ofMask(self) -> "SegmentSettings":
        """What matters for prompts that are there: how far the next ones will reach does not."""
        return replace(self, localRadiusMm=None)

    @property
    def maskOptions(self) -> "MaskOptions":
        """The part that the core applies."""
        from inference_core.engine.mask_composition import MaskOptions

        return MaskOptions(
            threshold=self.threshold, keep_clicked_pieces=self.keepClickedPieces, smoothing_mm=self.smoothingMm
        )
