"""How answers become masks: what the panel's sliders and boxes set, as one value that can be compared and kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_core.engine.mask_composition import MaskOptions


@dataclass(frozen=True)
class Settings:
    """The settings of an answer.

    precision is of the encoder. windowMm: how far to look around clicks (None: the model tries several widths).
    threshold is a logit. localRadiusMm: change voxels only this near to the newest prompt (None: anywhere).
    othersAreBackground: keep out of all other segments. overwrite: "none", "visible" or "all", what may become of other
    segments' voxels.
    """

    model: str
    device: str = "auto"
    precision: str = "auto"
    windowMm: float | None = None
    threshold: float = 0.0
    smoothingMm: float = 0.0
    keepClickedPieces: bool = True
    localRadiusMm: float | None = None
    othersAreBackground: bool = False
    overwrite: str = "none"

    @property
    def loading(self) -> tuple[str, str, str]:
        """The part of the settings that a model is loaded by: its name, the device and the precision."""
        return self.model, self.device, self.precision

    @property
    def maskOptions(self) -> "MaskOptions":
        """The part of the settings that the core applies."""
        from inference_core.engine.mask_composition import MaskOptions

        return MaskOptions(
            threshold=self.threshold, keep_clicked_pieces=self.keepClickedPieces, smoothing_mm=self.smoothingMm
        )
