"""What a segment is, chosen among Slicer's terminologies in Slicer's own navigator.

Slicer's `qSlicerTerminologySelectorButton` and `qSlicerTerminologySelectorDialog` hand the choice over in a
`TerminologyInfoBundle`, a plain C++ class that PythonQt does not wrap (read in Slicer 5.10 and 5.12): Python can open
them and never learns what was chosen. The widget inside of them, `qSlicerTerminologyNavigatorWidget`, gives and takes a
`vtkSlicerTerminologyEntry` by methods made for Python: it is put into a dialog here.
"""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


def canChooseTerminology() -> bool:
    """Whether Slicer's navigator and its terminologies are there."""
    return hasattr(slicer, "qSlicerTerminologyNavigatorWidget") and hasattr(slicer.modules, "terminologies")


def chosenTerminology(entry: str, title: str) -> str | None:
    """What the user chooses, both as a segment's tag has it, beginning with `entry`; None where it is given up."""
    logic = slicer.modules.terminologies.logic()
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(title)
    navigator = slicer.qSlicerTerminologyNavigatorWidget()
    # Name and color stay as they are: lesions are told apart, and paired between visits, by them.
    navigator.overrideSectionVisible = False
    _layOut(dialog, navigator)
    now = slicer.vtkSlicerTerminologyEntry()
    if entry and logic.DeserializeTerminologyEntry(entry, now):
        navigator.setTerminologyEntry(now)
    chosen = slicer.vtkSlicerTerminologyEntry()
    accepted = bool(dialog.exec_()) and navigator.terminologyEntry(chosen)
    dialog.deleteLater()
    return str(logic.SerializeTerminologyEntry(chosen)) if accepted else None


def _layOut(dialog: Any, navigator: Any) -> None:
    """The navigator above Select and Cancel, as in Slicer's own dialog; a double click on a type selects it, too."""
    buttons = qt.QDialogButtonBox()
    select = buttons.addButton(_("Select"), qt.QDialogButtonBox.AcceptRole)
    buttons.addButton(_("Cancel"), qt.QDialogButtonBox.RejectRole)
    select.setEnabled(False)
    navigator.connect("selectionValidityChanged(bool)", select.setEnabled)
    navigator.connect("typeDoubleClicked()", dialog.accept)
    buttons.connect("accepted()", dialog.accept)
    buttons.connect("rejected()", dialog.reject)
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(navigator)
    layout.addWidget(buttons)
