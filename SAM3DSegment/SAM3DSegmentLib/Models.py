"""The models there are: what each takes, and whether its weights are on this computer."""

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SAM3DSegmentLib.PromptKinds import DRAWN

if TYPE_CHECKING:
    from inference_core.models.spec import ModelSpec

_KINDS = {
    "foreground": "POSITIVE_CLICK",
    "background": "NEGATIVE_CLICK",
    "box": "BOX",
    "line": "LINE",
    "scribble": "SCRIBBLE",
    "lasso": "LASSO",
    "mask": "MASK",
    "automatic": "NONE",
}


class Models:
    """The registry's models, or those that are handed in."""

    def __init__(self, specs: "tuple[ModelSpec, ...] | None" = None) -> None:
        from inference_core.models.registry import all_specs

        self._specs = specs or all_specs()

    @property
    def default(self) -> str:
        """The name of the model to begin with."""
        return self._specs[0].name

    def all(self) -> "tuple[ModelSpec, ...]":
        """All of them, the default first."""
        return self._specs

    def spec(self, name: str) -> "ModelSpec":
        """What is known of one.

        Raises:
            ModelError: there is none of this name.
        """
        from inference_core.models.registry import get_spec

        return next((spec for spec in self._specs if spec.name == name), None) or get_spec(name)

    def isInstalled(self, name: str) -> bool:
        """Whether its weights are on this computer."""
        from inference_core.models.store import installed_path

        return installed_path(self.spec(name)) is not None

    def accepts(self, name: str, kind: str) -> tuple[bool, str]:
        """Whether it takes prompts of a kind, and if not, why."""
        from inference_core.models.spec import PromptKind

        spec = self.spec(name)
        if PromptKind[_KINDS[kind]] in spec.accepted_kinds or (kind in DRAWN and self._toldByOthers(spec)):
            return True, ""
        words = {
            "foreground": _("foreground clicks"),
            "background": _("background clicks"),
            "box": _("3D boxes"),
            "line": _("lines"),
            "scribble": _("scribbles"),
            "lasso": _("outlines in a slice"),
            "mask": _("initial masks"),
            "automatic": _("images without prompts"),
        }
        reason = _("{title} takes no {prompts}; choose another model for them.")
        return False, reason.format(title=spec.title, prompts=words[kind])

    def readsItself(self, name: str, kind: str) -> bool:
        """Whether it was trained on strokes of a kind; others are told of them by clicks or a box."""
        from inference_core.models.spec import PromptKind

        return PromptKind[_KINDS[kind]] in self.spec(name).prompt_kinds

    @staticmethod
    def _toldByOthers(spec: "ModelSpec") -> bool:
        """Whether a stroke can be put into prompts that it knows."""
        from inference_core.models.spec import PromptKind

        return bool({PromptKind.POSITIVE_CLICK, PromptKind.BOX} & spec.accepted_kinds)

    def windows(self, name: str) -> list[float]:
        """The widths (mm) that it can look through; none where it sees whole slices or has one width."""
        window = self.spec(name).window
        return [max(window.shape) * spacing for spacing in window.spacings] if len(window.spacings) > 1 else []
