"""The choice of a model, and what the panel says about it; all of it comes from the registry."""

import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Formatting

if TYPE_CHECKING:
    from inference_core.models.spec import ModelSpec

# What the row is called that has the models that are not on this computer listed.
_MORE = "more"


class ModelPicker:
    """Fills the selector once and follows the logic; onChosen(name) is told what the user picks."""

    def __init__(self, ui: Any, logic: Any, onChosen: Callable[[str], None]) -> None:
        self._ui, self._logic = ui, logic
        self._shown: tuple[str, bool] | None = None
        self._specs = {spec.name: spec for spec in logic.options.models.all()}
        self._onChosen = onChosen
        self._offered: list[str] = []
        self._showsAll = False
        self._fillSelector()
        ui.modelSelector.connect("activated(int)", self._onActivated)

    @property
    def spec(self) -> "ModelSpec":
        """The model that is chosen."""
        return self._specs[self._logic.options.modelName]

    def refresh(self) -> None:
        """Show the logic's model; and look again whether it is installed, since that may have changed meanwhile."""
        name = self._logic.options.modelName
        installed = self._logic.options.models.isInstalled(name)
        if self._shown == (name, installed):
            return
        self._shown = (name, installed)
        self._fillSelector()
        selector = self._ui.modelSelector
        selector.setItemText(selector.findData(name), self._choice(self.spec))
        selector.setCurrentIndex(selector.findData(name))
        self._ui.modelSummary.setText(_summary(self.spec, installed=installed))
        self._ui.aboutLabel.setText(_about(self.spec, installed=installed))
        self._ui.downloadModelButton.setVisible(not installed and self.spec.checkpoint.url is not None)
        self._ui.installModelButton.setVisible(not installed)

    def explained(self, message: str) -> str:
        """A message of the core, which says how to install a model from a terminal: here there is a button for it."""
        if self._logic.options.models.isInstalled(self._logic.options.modelName):
            return message
        return _("{title} is not on this computer; see 'About this model', or choose another model.").format(
            title=self.spec.title
        )

    def _fillSelector(self) -> None:
        """What is installed, and the chosen one; the rest below a line, once they are asked for."""
        chosen = self._logic.options.modelName
        ready = [name for name in self._specs if self._logic.options.models.isInstalled(name)]
        daily = [name for name in self._specs if name in ready or name == chosen]
        others = [name for name in self._specs if name not in daily] if self._showsAll else []
        wanted = [*daily, "", *others] if others else daily if len(daily) == len(self._specs) else [*daily, _MORE]
        if wanted == self._offered:
            return
        self._offered = wanted
        selector = self._ui.modelSelector
        selector.clear()
        for name in wanted:
            if not name:
                selector.insertSeparator(selector.count)
            elif name == _MORE:
                selector.addItem(_("More models..."), name)
            else:
                selector.addItem(self._choice(self._specs[name]), name)

    def _onActivated(self, index: int) -> None:
        name = self._ui.modelSelector.itemData(index)
        if name != _MORE:
            self._onChosen(name)
            return
        self._showsAll = True
        self._fillSelector()
        self._ui.modelSelector.setCurrentIndex(self._ui.modelSelector.findData(self._logic.options.modelName))
        self._ui.modelSelector.showPopup()

    def _choice(self, spec: "ModelSpec") -> str:
        return (
            f"{spec.title} ({Formatting.whereFrom(spec, installed=self._logic.options.models.isInstalled(spec.name))})"
        )


def _summary(spec: "ModelSpec", *, installed: bool) -> str:
    size = Formatting.fileSize(spec.checkpoint.size_bytes)
    parts = [_("Takes {kinds}").format(kinds=Formatting.promptKinds(spec)), size]
    summary = " · ".join(part for part in parts if part)
    license_ = _("License: {license}").format(license=Formatting.shortLicense(spec))
    if installed:
        return f"{summary} · {license_}"
    return f"{summary} · {license_}. " + _("Not on this computer yet: see 'About this model' for how to get it.")


def _about(spec: "ModelSpec", *, installed: bool) -> str:
    lines = [
        (_("License"), escape(spec.license)),
        (_("Publication"), _linked(spec.paper)),
        (_("Takes"), escape(Formatting.promptKinds(spec))),
        (_("Looks at"), _window(spec)),
        (_("Segments"), escape(", ".join(spec.classes)) if spec.classes != ("target",) else ""),
        (_("Weights"), _weights(spec)),
        (_("Notes"), escape(" ".join((spec.notes, *spec.cautions)).strip())),
    ]
    text = "".join(f"<p><b>{name}:</b> {value}</p>" for name, value in lines if value)
    return text if installed else text + f"<p>{_howToGet(spec)}</p>"


def _window(spec: "ModelSpec") -> str:
    shape = " × ".join(map(str, spec.window.shape))
    if not spec.window.spacings:
        return _("{shape} voxels at a time").format(shape=shape)
    spacings = ", ".join(f"{spacing:g}" for spacing in spec.window.spacings)
    return _("{shape} voxels of {spacings} mm at a time").format(shape=shape, spacings=spacings)


def _weights(spec: "ModelSpec") -> str:
    parts = [spec.checkpoint.filename, Formatting.fileSize(spec.checkpoint.size_bytes)]
    if spec.base:
        parts.append(_("and those of the model '{base}'").format(base=spec.base))
    return escape(", ".join(part for part in parts if part))


def _howToGet(spec: "ModelSpec") -> str:
    checkpoint = spec.checkpoint
    link = f'<a href="{escape(checkpoint.url or checkpoint.page or "")}">{escape(checkpoint.filename)}</a>'
    if checkpoint.url is not None:
        way = _("The weights are not on this computer. Download them here, or fetch {link} and use that file.")
    elif checkpoint.page is not None:
        way = _("The weights are not on this computer. Get them from their authors ({link}), then use that file.")
    else:
        way = _("The weights are not on this computer and published nowhere: use a file of your own.")
    return way.format(link=link)


def _linked(paper: str) -> str:
    """A reference with its arXiv number made a link."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', escape(paper))
