"""A stand-in for Slicer's terminology navigator: its properties, signals and methods, over Slicer's own terminologies.

What C++ hands over in a `TerminologyInfoBundle` is not here, since Python does not see it in Slicer either.
"""

from __future__ import annotations

from typing import ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from Host.mrmlwidgets import qMRMLWidget
from Host.standin import qtProperty, standIn


@standIn(slicer)
class qSlicerTerminologyNavigatorWidget(qMRMLWidget):
    """A terminology, a category, a type with a search box, and a region where the category has any."""

    selectionValidityChanged = QtCore.Signal(bool)
    typeDoubleClicked = QtCore.Signal()
    colorDoubleClicked = QtCore.Signal()
    SIGNALS: ClassVar = {
        "selectionValidityChanged(bool)": "selectionValidityChanged",
        "typeDoubleClicked()": "typeDoubleClicked",
        "colorDoubleClicked()": "colorDoubleClicked",
    }
    regionSectionVisible = qtProperty(bool, True, "_showSections")
    overrideSectionVisible = qtProperty(bool, True, "_showSections")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._types = {}
        # The names by which a test finds them are those of Slicer's own parts.
        self._context = _named(QtWidgets.QComboBox(), "ComboBox_Terminology")
        self._category = _named(QtWidgets.QComboBox(), "tableWidget_Category")
        self._search = _named(QtWidgets.QLineEdit(), "SearchBox_Type")
        self._type = _named(QtWidgets.QListWidget(), "tableWidget_Type")
        self._region = _named(QtWidgets.QComboBox(), "tableWidget_Region")
        self._name = _named(QtWidgets.QLineEdit(), "lineEdit_Name")
        layout = QtWidgets.QFormLayout(self)
        for text, widget in (
            ("Terminology", self._context), ("Category", self._category), ("Search", self._search),
            ("Type", self._type), ("Region", self._region), ("Name", self._name),
        ):  # fmt: skip
            layout.addRow(text, widget)
        self._context.addItems(_loaded("Terminology"))
        self._context.currentTextChanged.connect(self._fillCategories)
        self._category.currentIndexChanged.connect(self._fillTypes)
        self._search.textChanged.connect(self._fillTypes)
        self._type.currentItemChanged.connect(self._onType)
        self._type.itemDoubleClicked.connect(lambda _item: self.typeDoubleClicked.emit())
        self._fillCategories()

    def setTerminologyEntry(self, entry):
        """Show an entry; False where its terminology is not loaded."""
        index = self._context.findText(entry.GetTerminologyContextName() or "")
        if index < 0:
            return False
        self._context.setCurrentIndex(index)
        self._category.setCurrentText(entry.GetCategoryObject().GetCodeMeaning() or "")
        found = self._type.findItems(entry.GetTypeObject().GetCodeMeaning() or "", QtCore.Qt.MatchExactly)
        self._type.setCurrentItem(found[0] if found else None)
        self._region.setCurrentText(entry.GetRegionObject().GetCodeMeaning() or "")
        return True

    def terminologyEntry(self, entry):
        """Write what is selected into an entry; False where no type is."""
        item = self._type.currentItem()
        if item is None:
            return False
        entry.SetTerminologyContextName(self._context.currentText)
        entry.GetCategoryObject().Copy(self._category.currentData)
        entry.GetTypeObject().Copy(self._types[item.text()])
        entry.GetTypeModifierObject().Initialize()
        entry.SetRegionContextName(_loaded("RegionContext")[0])
        entry.GetRegionObject().Initialize()
        if self._region.currentData is not None:
            entry.GetRegionObject().Copy(self._region.currentData)
        entry.GetRegionModifierObject().Initialize()
        return True

    def _fillCategories(self, *_):
        self._category.clear()
        logic, name = _logic(), self._context.currentText
        for index in range(logic.GetNumberOfCategoriesInTerminology(name)):
            category = slicer.vtkSlicerTerminologyCategory()
            logic.GetNthCategoryInTerminology(name, index, category)
            self._category.addItem(category.GetCodeMeaning(), category)

    def _fillTypes(self, *_):
        self._type.clear()
        self._types.clear()
        logic, name, category = _logic(), self._context.currentText, self._category.currentData
        if category is None:
            return
        for index in range(logic.GetNumberOfTypesInTerminologyCategory(name, category)):
            kind = slicer.vtkSlicerTerminologyType()
            logic.GetNthTypeInTerminologyCategory(name, category, index, kind)
            if self._search.text.lower() in kind.GetCodeMeaning().lower():
                self._types[kind.GetCodeMeaning()] = kind
                self._type.addItem(kind.GetCodeMeaning())
        self._fillRegions(category)

    def _fillRegions(self, category):
        self._region.clear()
        self._region.addItem("", None)
        self._region.setEnabled(category.GetShowAnatomy())
        logic, context = _logic(), _loaded("RegionContext")[0]
        for index in range(logic.GetNumberOfRegionsInRegionContext(context) if category.GetShowAnatomy() else 0):
            region = slicer.vtkSlicerTerminologyType()
            logic.GetNthRegionInRegionContext(context, index, region)
            self._region.addItem(region.GetCodeMeaning(), region)

    def _onType(self, item, *_):
        self.selectionValidityChanged.emit(item is not None)

    def _showSections(self, _visible):
        self._region.setVisible(self.regionSectionVisible)
        self._name.setVisible(self.overrideSectionVisible)


def _named(widget, name):
    widget.setObjectName(name)
    return widget


def _logic():
    return slicer.modules.terminologies.logic()


def _loaded(what):
    names = []
    getattr(_logic(), f"GetLoaded{what}Names")(names)
    return names
