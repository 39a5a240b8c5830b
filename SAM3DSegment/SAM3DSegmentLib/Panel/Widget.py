"""The panel: puts the parts together, and passes on what they and the logic have to say."""

import sys
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib.Panel import SharedLogic
from SAM3DSegmentLib.Panel.AdvancedSection import AdvancedSection
from SAM3DSegmentLib.Panel.Boundary import Boundary
from SAM3DSegmentLib.Panel.Icons import icon
from SAM3DSegmentLib.Panel.MessageArea import MessageArea
from SAM3DSegmentLib.Panel.ModelInstaller import ModelInstaller
from SAM3DSegmentLib.Panel.ModelPicker import ModelPicker
from SAM3DSegmentLib.Panel.ParameterSync import ParameterSync
from SAM3DSegmentLib.Panel.PlaceTools import PlaceTools
from SAM3DSegmentLib.Panel.PollTimer import PollTimer
from SAM3DSegmentLib.Panel.PromptList import PromptList
from SAM3DSegmentLib.Panel.SegmentList import SegmentList
from SAM3DSegmentLib.Panel.Shortcuts import Shortcut, Shortcuts
from SAM3DSegmentLib.Panel.StatusLine import StatusLine
from SAM3DSegmentLib.Panel.Views import showVolume
from SAM3DSegmentLib.Paths import resourcePath
from SAM3DSegmentLib.SampleVolume import loadSample
from SAM3DSegmentLib.Sentences import sentenceOf
from SAM3DSegmentLib.Setup import Dependencies

_ICONS = {
    "foregroundButton": "Foreground", "backgroundButton": "Background", "boxButton": "Box", "nextButton": "Next",
    "boxFromMaskButton": "BoxFromMask", "undoButton": "Undo", "redoButton": "Redo", "clearButton": "Clear",
}  # fmt: skip


class SAM3DSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Slicer makes one of it when the module is first shown, and calls the methods without an underscore."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self._entered = False

    def setup(self) -> None:
        """Build the panel from its .ui file."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(str(resourcePath("UI/SAM3DSegment.ui")))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = SharedLogic.acquire()
        self.logic.controller.ensureDependencies = self._ensureDependencies
        self._makeParts()
        self._connectButtons()
        self.logic.addListener(self._onLogicEvent)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneGoes)
        self.addObserver(scene, scene.StartImportEvent, self._onSceneGoes)
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneIsThere)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneIsThere)
        self._refresh()

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self.parameters.connect()
        self.shortcuts.enable()
        self.pollTimer.start()
        self._refresh()

    def exit(self) -> None:
        """Another module is shown: keys and mouse are its own, what runs goes on."""
        self._entered = False
        self.shortcuts.disable()
        self.tools.activate(None)
        self.parameters.disconnect()

    def cleanup(self) -> None:
        """The panel is about to be destroyed."""
        if self.logic is None:
            return
        self.exit()
        self.pollTimer.close()
        self.tools.close()
        self.removeObservers()
        self.logic.removeListener(self._onLogicEvent)
        self.logic = None
        SharedLogic.release()

    def onReload(self) -> None:
        """The developer's reload button: Slicer reads the module's own file again, and with this all it imports."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("SAM3DSegmentLib", "inference_core")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _makeParts(self) -> None:
        ui, logic, guarded = self.ui, self.logic, self._guarded
        self.message = MessageArea(ui, logic)
        self.status = StatusLine(ui, logic, onStop=self._stop)
        self.parameters = ParameterSync(ui, logic, guarded, onVolume=showVolume)
        self.models = ModelPicker(ui, logic, self._chooseModel)
        self.segments = SegmentList(ui.segmentsTable, logic, guarded)
        self.prompts = PromptList(ui.promptsTable, logic, guarded)
        buttons = {"foreground": ui.foregroundButton, "background": ui.backgroundButton, "box": ui.boxButton}
        self.pollTimer = PollTimer(self._poll, self._refresh, needed=lambda: self._entered or self._busy)
        self.tools = PlaceTools(
            buttons, logic, guarded, prepare=self._ensureDependencies, onDisturbed=self.pollTimer.refreshSoon
        )
        self.boundary = Boundary(ui.boundarySlider, reset=ui.boundaryResetButton, logic=logic, guarded=guarded)
        self.advanced = AdvancedSection(ui, logic, guarded=guarded, choose=self.parameters.choose)
        self.installer = ModelInstaller(
            onProgress=self.status.showFetching, onDone=self._onModelInstalled, onError=self._onModelFailed
        )
        self.shortcuts = Shortcuts(self._shortcutTable())
        ui.shortcutsLabel.setText(self.shortcuts.asHtml())

    def _connectButtons(self) -> None:
        ui, logic = self.ui, self.logic
        for name, picture in _ICONS.items():
            getattr(ui, name).setIcon(icon(picture))
        ui.sampleButton.connect("clicked(bool)", lambda: self._guarded(self._trySample))
        ui.nextButton.connect("clicked(bool)", lambda: self._guarded(logic.segments.next))
        ui.automaticButton.connect("clicked(bool)", lambda: self._guarded(self._runAutomatic))
        ui.boxFromMaskButton.connect("clicked(bool)", lambda: self._guarded(logic.prompts.addBoxFromMask))
        ui.undoButton.connect("clicked(bool)", lambda: self._guarded(logic.undo))
        ui.redoButton.connect("clicked(bool)", lambda: self._guarded(logic.redo))
        ui.clearButton.connect("clicked(bool)", lambda: self._guarded(logic.prompts.clear))
        ui.downloadModelButton.connect("clicked(bool)", lambda: self.installer.askAndStart(self.models.spec))
        ui.installModelButton.connect("clicked(bool)", lambda: self.installer.askForFile(self.models.spec))

    def _shortcutTable(self) -> list[Shortcut]:
        tools, ui = self.tools, self.ui
        return [
            Shortcut(("F",), _("Foreground click"), lambda: tools.toggle("foreground")),
            Shortcut(("B",), _("Background click"), lambda: tools.toggle("background")),
            Shortcut(("X",), _("3D box"), lambda: tools.toggle("box")),
            Shortcut(("Ctrl+click",), _("While clicking: a click of the other sign")),
            Shortcut(("N",), _("Next segment"), ui.nextButton.click),
            Shortcut(("Ctrl+Z",), _("Undo"), ui.undoButton.click),
            Shortcut(("Ctrl+Y", "Ctrl+Shift+Z"), _("Redo"), ui.redoButton.click),
            Shortcut(("Esc",), _("Stop what runs; else put the tool down"), self._escape),
            Shortcut(("Delete",), _("In a list: remove its current row")),
        ]

    # What the logic says

    def _onLogicEvent(self, event: str, info: dict[str, Any]) -> None:
        if event == "progress":
            self.status.showProgress(info["stage"], info["fraction"])
        elif event == "answered":
            self.message.hide()
            self.status.showAnswer(info["seconds"])
        elif event == "cautioned":
            self.message.show(info["message"])
        elif event == "failed":
            self.message.show(self.models.explained(info["message"]), info["report"])
        self.pollTimer.refreshSoon()

    def _refresh(self) -> None:
        """Show what is so now; called a few times a second at most, however much happens."""
        if self.logic is None:
            return
        ui, logic = self.ui, self.logic
        self.parameters.pull()
        self.parameters.offerVolume()
        hasVolume = logic.volumeNode is not None
        ui.welcomeFrame.setVisible(not hasVolume)
        ui.workArea.setVisible(hasVolume)
        for part in (self.models, self.segments, self.prompts, self.tools, self.boundary, self.advanced):
            part.refresh()
        hasPrompts = bool(logic.prompts.items())
        ui.clearButton.setEnabled(hasPrompts)
        ui.undoButton.setEnabled(logic.canUndo)
        ui.redoButton.setEnabled(logic.canRedo)
        ui.boxFromMaskButton.setEnabled(logic.segmentId is not None and logic.options.accepts("box")[0])
        isAutomatic = logic.options.accepts("automatic")[0]
        ui.automaticButton.setVisible(isAutomatic)
        obstacle = "" if isAutomatic else self.tools.obstacle
        self.status.refresh(self.tools.active, hasPrompts=hasPrompts, obstacle=obstacle)
        if self._entered and hasVolume and Dependencies.ready():
            logic.warmer.prepare(advise=Dependencies.unusedGpu)

    # What the user does

    def _guarded(self, call: Callable[[], Any]) -> bool:
        """Do something; where it is refused, say so in the panel. Whether it was done."""
        from inference_core.errors import SAM3DError

        try:
            call()
        except (SAM3DError, Dependencies.DependencyError) as error:
            self.message.show(sentenceOf(error))
            return False
        return True

    def _chooseModel(self, name: str) -> None:
        self.message.hide()
        self.parameters.choose(model=name)

    def _ensureDependencies(self) -> None:
        if not Dependencies.ready():
            Dependencies.ensureInstalled(self.status.showWork)

    def _trySample(self) -> None:
        self.status.showWork(_("Making the sample..."))
        slicer.app.processEvents()
        self.parameters.choose(volume=loadSample())

    def _runAutomatic(self) -> None:
        self._ensureDependencies()
        self.logic.automatic.start()

    def _escape(self) -> None:
        if self._busy:
            self._stop()
        else:
            self.tools.activate(None)

    def _stop(self) -> None:
        self.installer.cancel()
        self.logic.cancel()

    # Time and scene

    @property
    def _busy(self) -> bool:
        return self.logic.controller.worker.busy or self.installer.busy

    def _poll(self, waitSeconds: float) -> None:
        self.logic.poll(waitSeconds)
        self.installer.poll(waitSeconds)

    def _onModelInstalled(self, text: str) -> None:
        self._refresh()
        self.status.showWork(text)

    def _onModelFailed(self, error: Exception) -> None:
        self.message.show(sentenceOf(error))
        self._refresh()

    def _onNodeAdded(self, *_: Any) -> None:
        self.parameters.offerSoon()
        self.pollTimer.refreshSoon()

    def _onSceneGoes(self, *_: Any) -> None:
        self.tools.activate(None)
        self.parameters.disconnect()

    def _onSceneIsThere(self, *_: Any) -> None:
        if self._entered:
            self.parameters.connect()
        self.pollTimer.refreshSoon()
