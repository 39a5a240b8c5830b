"""Prompts in words: a field for them where the model's weights have learned words, and what reads them, in Advanced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.FileDialog import folderToUse
from SAM3DSegmentLib.Setup import TextPackages

_ENCODER_SETTING = "SAM3DSegment/textEncoder"


class WordsRow:
    """The text encoder is a matter of the computer and kept in Slicer's settings.

    guarded(call) says what is refused.
    """

    def __init__(self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], bool]) -> None:
        self._ui, self._logic, self._guarded = ui, logic, guarded
        logic.options.setTextEncoder(str(qt.QSettings().value(_ENCODER_SETTING, "") or ""))
        ui.wordsEdit.connect("returnPressed()", self._add)
        ui.textEncoderButton.connect("clicked(bool)", self._chooseEncoder)

    def refresh(self) -> None:
        """Show what the chosen model's weights take; nothing of words for all others."""
        ui, options = self._ui, self._logic.options
        mayLearn = options.models.spec(options.modelName).reads_text
        ui.wordsEdit.setVisible(mayLearn and self._logic.controller.engine.readsTexts(options.modelName))
        ui.wordsEdit.setEnabled(self._logic.volumeNode is not None and not self._logic.isLocked)
        for widget in (ui.textEncoderLabel, ui.textEncoderButton):
            widget.setVisible(mayLearn)
        folder = Path(options.textEncoder).name if options.textEncoder else ""
        ui.textEncoderButton.setText(folder or _("Choose a folder..."))

    def _add(self) -> None:
        words = self._ui.wordsEdit.text
        if not self._logic.options.textEncoder:
            self._chooseEncoder()
        if self._guarded(TextPackages.ensureInstalled) and self._guarded(lambda: self._logic.prompts.addText(words)):
            self._ui.wordsEdit.clear()

    def _chooseEncoder(self, *_args: Any) -> None:
        options = self._logic.options
        title = _("Folder of the CLIP that the weights learned words with, as open_clip publishes it")
        chosen = folderToUse(title, options.textEncoder)
        if chosen is not None:
            options.setTextEncoder(str(chosen))
            qt.QSettings().setValue(_ENCODER_SETTING, str(chosen))
