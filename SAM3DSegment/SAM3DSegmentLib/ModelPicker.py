"""The choice of a model, and what the panel says about it; all of it comes from the registry."""

import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib import Words

if TYPE_CHECKING:
    from inference_core.models.spec import ModelSpec


class ModelPicker:
    """Fills the selector once and follows the logic; onChosen(name) is told what the user picks."""

    def __init__(self, ui: Any, logic: Any, onChosen: Callable[[str], None]) -> None:
        self._ui, self._logic = ui, logic
        self._shown: tuple[str, bool] | None = None
        self._specs = {spec.name: spec for spec in logic.modelChoices()}
        for spec in self._specs.values():
            ui.modelSelector.addItem(spec.title, spec.name)
        self._showWhereFrom()
        ui.modelSelector.connect("activated(int)", lambda index: onChosen(ui.modelSelector.itemData(index)))

    @property
    def spec(self) -> "ModelSpec":
        """The model that is chosen."""
        return self._specs[self._logic.modelName]

    def refresh(self) -> None:
        """Show the logic's model; and look again whether it is installed, since that may have changed meanwhile."""
        name = self._logic.modelName
        installed = self._logic.isModelInstalled(name)
        if self._shown == (name, installed):
            return
        self._shown = (name, installed)
        self._showWhereFrom()
        self._ui.modelSelector.setCurrentIndex(self._ui.modelSelector.findData(name))
        self._ui.modelSummary.setText(_summary(self.spec, installed=installed))
        self._ui.aboutLabel.setText(_about(self.spec, installed=installed))
        self._ui.downloadModelButton.setVisible(not installed and self.spec.checkpoint.url is not None)
        self._ui.installModelButton.setVisible(not installed)

    def _showWhereFrom(self) -> None:
        for index, spec in enumerate(self._specs.values()):
            where = Words.whereFrom(spec, installed=self._logic.isModelInstalled(spec.name))
            self._ui.modelSelector.setItemText(index, f"{spec.title} ({where})")


def _summary(spec: "ModelSpec", *, installed: bool) -> str:
    parts = [Words.shortLicense(spec), Words.promptKinds(spec), Words.fileSize(spec.checkpoint.size_bytes)]
    summary = " · ".join(part for part in parts if part)
    if installed:
        return summary
    return summary + "<br>" + _("Not on this computer yet: see 'About this model' below for how to get it.")


def _about(spec: "ModelSpec", *, installed: bool) -> str:
    lines = [
        (_("License"), escape(spec.licence)),
        (_("Publication"), _linked(spec.paper)),
        (_("Takes"), escape(Words.promptKinds(spec))),
        (_("Looks at"), _window(spec)),
        (_("Segments"), escape(", ".join(spec.classes))),
        (_("Weights"), escape(f"{spec.checkpoint.filename}, {Words.fileSize(spec.checkpoint.size_bytes)}".strip(", "))),
        (_("Notes"), escape(spec.notes)),
    ]
    text = "".join(f"<p><b>{name}:</b> {value}</p>" for name, value in lines if value)
    return text if installed else text + f"<p>{_howToGet(spec)}</p>"


def _window(spec: "ModelSpec") -> str:
    shape = " × ".join(map(str, spec.window.shape))
    if not spec.window.spacings:
        return _("{shape} voxels at a time").format(shape=shape)
    spacings = ", ".join(f"{spacing:g}" for spacing in spec.window.spacings)
    return _("{shape} voxels of {spacings} mm at a time").format(shape=shape, spacings=spacings)


def _howToGet(spec: "ModelSpec") -> str:
    if spec.checkpoint.url is None:
        return _("The weights are published nowhere this module could fetch them from: use a file of your own.")
    link = f'<a href="{escape(spec.checkpoint.url)}">{escape(spec.checkpoint.filename)}</a>'
    return _(
        "The weights are not on this computer. Download them here, or fetch {link} yourself and use that file."
    ).format(link=link)


def _linked(paper: str) -> str:
    """A reference with its arXiv number made a link."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', escape(paper))
