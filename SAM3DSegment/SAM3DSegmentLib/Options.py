"""What can be chosen about how answers are made: model, device, boundary, and what becomes of the mask.

The model, the device and what becomes of other segments count for all segments; the boundary, smoothing, window, pieces
and "change only within" belong to the current segment and are undone with it. Chosen while there is no segment, they
are for the first one.
"""

from dataclasses import replace
from typing import Any, Protocol

from SAM3DSegmentLib.Models import Models
from SAM3DSegmentLib.Settings import SegmentSettings, Settings
from SAM3DSegmentLib.WriteBack import OVERWRITE_MODES


class SettingsOfSegment(Protocol):
    """Who keeps the settings of the current segment."""

    @property
    def segmentSettings(self) -> SegmentSettings:
        """The current segment's, or what the first one will have."""
        ...

    def changeSegmentSettings(self, settings: SegmentSettings) -> None:
        """Give the current segment others."""
        ...


class Options:
    """Reads and changes settings; onChanged() is called after each change that matters for the mask."""

    def __init__(self, models: Models, segment: SettingsOfSegment) -> None:
        self.models = models
        self.settings = Settings(models.default)
        self._segment = segment
        self.onChanged = _nothing

    @property
    def modelName(self) -> str:
        """The chosen model."""
        return self.settings.model

    def setModel(self, name: str) -> None:
        """Choose a model by its registry name.

        Raises:
            ModelError: there is none of this name.
        """
        self._set(model=self.models.spec(name).name)

    @property
    def isInstalled(self) -> bool:
        """Whether the chosen model's weights are on this computer."""
        return self.models.isInstalled(self.modelName)

    def accepts(self, kind: str) -> tuple[bool, str]:
        """Whether the chosen model takes prompts of a kind, and if not, why."""
        return self.models.accepts(self.modelName, kind)

    def readsItself(self, kind: str) -> bool:
        """Whether the chosen model was trained on strokes of a kind; others are told of them by clicks or a box."""
        return self.models.readsItself(self.modelName, kind)

    @property
    def deviceName(self) -> str:
        """Where to compute: "auto", "cuda", "mps" or "cpu"."""
        return self.settings.device

    def setDevice(self, name: str) -> None:
        """Choose where to compute; it counts from the next answer on."""
        self._set(device=name)

    @property
    def precision(self) -> str:
        """What encoders compute in: "auto" (bfloat16 on a GPU), "float32" or "bfloat16"."""
        return self.settings.precision

    def setPrecision(self, name: str) -> None:
        """Choose what encoders compute in; it counts from the next answer on."""
        self._set(precision=name)

    @property
    def weights(self) -> str:
        """The folder of adapted weights that the default model answers with; "" for the shipped ones."""
        return self.settings.weights

    def setWeights(self, folder: str) -> None:
        """Answer with adapted weights, or with the shipped ones again; it counts from the next answer on.

        Raises:
            ModelError: the folder has no weights of the default model.
        """
        if folder:
            from pathlib import Path

            from inference_core.models.store import weights_of

            weights_of(Path(folder))
        self._set(weights=folder)

    @property
    def textEncoder(self) -> str:
        """The folder of the CLIP that reads prompts in words; "" where none was chosen."""
        return self.settings.textEncoder

    def setTextEncoder(self, folder: str) -> None:
        """Choose what reads prompts in words; it is looked at when the next one is answered."""
        self._set(textEncoder=folder)

    @property
    def othersAreBackground(self) -> bool:
        """Whether the mask keeps out of all other segments."""
        return self.settings.othersAreBackground

    def setOthersAreBackground(self, background: bool) -> None:
        """Keep the mask out of all other segments, from the next answer on."""
        self._set(othersAreBackground=bool(background))

    @property
    def overwriteMode(self) -> str:
        """What may become of other segments' voxels: "none" (they stay), "visible" or "all" (they are cut)."""
        return self.settings.overwrite

    def setOverwriteMode(self, mode: str) -> None:
        """Choose what may become of other segments' voxels, from the next answer on; locked ones always stay.

        Raises:
            ValueError: there is no such mode.
        """
        if mode not in OVERWRITE_MODES:
            raise ValueError(f"'{mode}' is none of {', '.join(OVERWRITE_MODES)}")
        self._set(overwrite=mode)

    # The current segment's

    @property
    def ofSegment(self) -> SegmentSettings:
        """The settings of the current segment."""
        return self._segment.segmentSettings

    @property
    def threshold(self) -> float:
        """The logit above which a voxel is in the mask."""
        return self.ofSegment.threshold

    def setThreshold(self, logit: float) -> None:
        """Cut the current answer at another logit; the model is not asked again."""
        self._setOfSegment(threshold=float(logit))

    @property
    def windowMm(self) -> float | None:
        """How far the model looks around clicks; None lets it try several widths."""
        return self.ofSegment.windowMm

    def setWindow(self, widthMm: float | None) -> None:
        """Choose how far the model looks around clicks; the current prompts are answered anew."""
        self._setOfSegment(windowMm=widthMm)

    @property
    def localRadiusMm(self) -> float | None:
        """How far from themselves new prompts may change voxels; None is anywhere."""
        return self.ofSegment.localRadiusMm

    def setLocalRadius(self, radiusMm: float | None) -> None:
        """Let the prompts placed from now on change voxels only this near to them; None is anywhere."""
        self._setOfSegment(localRadiusMm=radiusMm)

    @property
    def smoothingMm(self) -> float:
        """The width of the smoothing of the mask's surface."""
        return self.ofSegment.smoothingMm

    def setSmoothing(self, widthMm: float) -> None:
        """Smooth the mask's surface by a Gaussian of this width; 0 is not at all."""
        self._setOfSegment(smoothingMm=float(widthMm))

    @property
    def keepClickedPieces(self) -> bool:
        """Whether pieces of the mask that hold no prompt are dropped."""
        return self.ofSegment.keepClickedPieces

    def setKeepClickedPieces(self, keep: bool) -> None:
        """Drop pieces of the mask that hold no prompt, or keep them."""
        self._setOfSegment(keepClickedPieces=bool(keep))

    def _set(self, **changes: Any) -> None:
        changed = replace(self.settings, **changes)
        if changed != self.settings:
            self.settings = changed
            self.onChanged()

    def _setOfSegment(self, **changes: Any) -> None:
        changed = replace(self.ofSegment, **changes)
        if changed != self.ofSegment:
            self._segment.changeSegmentSettings(changed)
            self.onChanged()


def _nothing() -> None:
    """Nobody listens yet."""
