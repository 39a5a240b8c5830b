"""What can be chosen about how answers are made: model, device, threshold, and what becomes of the mask."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Settings import Settings
from SAM3DSegmentLib.WriteBack import OVERWRITE_MODES

if TYPE_CHECKING:
    from inference_core.models.spec import ModelSpec

_KINDS = {
    "foreground": "POSITIVE_CLICK",
    "background": "NEGATIVE_CLICK",
    "box": "BOX",
    "mask": "MASK",
    "automatic": "NONE",
}


class SettingsCommands:
    """The part of the logic that holds `settings`; a change that matters for the mask is answered at the next poll."""

    settings: Settings

    @property
    def modelName(self) -> str:
        """The chosen model."""
        return self.settings.model

    def setModel(self, name: str) -> None:
        """Choose a model by its registry name.

        Raises:
            ModelError: there is none of this name.
        """
        from inference_core.models.registry import get_spec

        self._set(model=get_spec(name).name)

    def modelChoices(self) -> list["ModelSpec"]:
        """All models there are, the default first."""
        from inference_core.models.registry import all_specs

        return list(all_specs())

    def isModelInstalled(self, name: str) -> bool:
        """Whether a model's weights are on this computer."""
        from inference_core.models.registry import get_spec
        from inference_core.models.store import installed_path

        return installed_path(get_spec(name)) is not None

    def acceptsPrompt(self, kind: str) -> tuple[bool, str]:
        """Whether the chosen model takes prompts of a kind, and if not, why."""
        from inference_core.models.registry import get_spec
        from inference_core.models.spec import PromptKind

        spec = get_spec(self.settings.model)
        wanted = PromptKind[_KINDS[kind]]
        if wanted in spec.accepted_kinds:
            return True, ""
        words = {
            "foreground": _("foreground clicks"),
            "background": _("background clicks"),
            "box": _("3D boxes"),
            "mask": _("initial masks"),
            "automatic": _("images without prompts"),
        }
        reason = _("{title} takes no {prompts}; choose another model for them.")
        return False, reason.format(title=spec.title, prompts=words[kind])

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
    def windowMm(self) -> float | None:
        """How far the model looks around clicks; None lets it try several widths."""
        return self.settings.windowMm

    def setWindow(self, widthMm: float | None) -> None:
        """Choose how far the model looks around clicks; the current prompts are answered anew."""
        self._set(windowMm=widthMm)

    def windowChoices(self) -> list[float]:
        """The widths (mm) that the chosen model can look through; none where it sees whole slices or has one width."""
        from inference_core.models.registry import get_spec

        window = get_spec(self.settings.model).window
        return [max(window.shape) * spacing for spacing in window.spacings] if len(window.spacings) > 1 else []

    def deviceDescription(self) -> str:
        """The device in use in words; empty before the first answer, since torch is not loaded just to tell."""
        return self.engine.description

    @property
    def threshold(self) -> float:
        """The logit above which a voxel is in the mask."""
        return self.settings.threshold

    def setThreshold(self, logit: float) -> None:
        """Cut the current answer at another logit; the model is not asked again."""
        self._set(threshold=float(logit))

    @property
    def localRadiusMm(self) -> float | None:
        """How far from the newest prompt voxels may change; None is anywhere."""
        return self.settings.localRadiusMm

    def setLocalRadius(self, radiusMm: float | None) -> None:
        """Change voxels only this near to the newest prompt, from the next answer on; None is anywhere."""
        self._set(localRadiusMm=radiusMm)

    @property
    def smoothingMm(self) -> float:
        """The width of the smoothing of the mask's surface."""
        return self.settings.smoothingMm

    def setSmoothing(self, widthMm: float) -> None:
        """Smooth the mask's surface by a Gaussian of this width; 0 is not at all."""
        self._set(smoothingMm=float(widthMm))

    @property
    def keepClickedPieces(self) -> bool:
        """Whether pieces of the mask that hold no prompt are dropped."""
        return self.settings.keepClickedPieces

    def setKeepClickedPieces(self, keep: bool) -> None:
        """Drop pieces of the mask that hold no prompt, or keep them."""
        self._set(keepClickedPieces=bool(keep))

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

    def _set(self, **changes: Any) -> None:
        changed = replace(self.settings, **changes)
        if changed != self.settings:
            self.settings = changed
            self._dirty = True
            self.emit("state")
