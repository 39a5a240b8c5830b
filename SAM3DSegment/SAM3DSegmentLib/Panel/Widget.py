"""The panel: puts the parts together, and passes on what they and the logic have to say."""

import sys
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib import Remarks
from SAM3DSegmentLib.ComparisonView import drawAgain
from SAM3DSegmentLib.Panel import SharedLogic
from SAM3DSegmentLib.Panel.AdvancedSection import AdvancedSection
from SAM3DSegmentLib.Panel.Boundary import Boundary
from SAM3DSegmentLib.Panel.BoxHandles import BoxHandles
from SAM3DSegmentLib.Panel.Buttons import Buttons
from SAM3DSegmentLib.Panel.CheatSheet import CheatSheet
from SAM3DSegmentLib.Panel.ClickWatch import ClickWatch
from SAM3DSegmentLib.Panel.CompareSection import CompareSection
from SAM3DSegmentLib.Panel.ExportMenu import written
from SAM3DSegmentLib.Panel.FirstSteps import firstSteps, showAtFirstOpening
from SAM3DSegmentLib.Panel.Keys import shortcutsOf
from SAM3DSegmentLib.Panel.LearnSection import LearnSection
from SAM3DSegmentLib.Panel.LesionSection import LesionSection
from SAM3DSegmentLib.Panel.MeasuresRow import MeasuresRow
from SAM3DSegmentLib.Panel.MessageArea import MessageArea
from SAM3DSegmentLib.Panel.ModelInstaller import ModelInstaller
from SAM3DSegmentLib.Panel.ModelPicker import ModelPicker
from SAM3DSegmentLib.Panel.ParameterSync import ParameterSync
from SAM3DSegmentLib.Panel.PlaceTools import PlaceTools
from SAM3DSegmentLib.Panel.PollTimer import PollTimer
from SAM3DSegmentLib.Panel.PromptList import PromptList
from SAM3DSegmentLib.Panel.SeeRow import SeeRow
from SAM3DSegmentLib.Panel.SegmentList import SegmentList
from SAM3DSegmentLib.Panel.Shortcuts import Shortcuts
from SAM3DSegmentLib.Panel.StatusLine import StatusLine
from SAM3DSegmentLib.Panel.Tour import Tour
from SAM3DSegmentLib.Panel.ViewKeys import HeldKey
from SAM3DSegmentLib.Panel.Views import showVolume
from SAM3DSegmentLib.Panel.WordsRow import WordsRow
from SAM3DSegmentLib.Paths import resourcePath
from SAM3DSegmentLib.SampleVolume import loadSample
from SAM3DSegmentLib.Sentences import sentenceOf
from SAM3DSegmentLib.Setup import Dependencies


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
        self._root = widget = slicer.util.loadUI(str(resourcePath("UI/SAM3DSegment.ui")))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = SharedLogic.acquire()
        self.logic.controller.ensureDependencies = self._ensureDependencies
        self._makeParts()
        self.buttons = Buttons(self)
        self.logic.addListener(self._onLogicEvent)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneGoes)
        self.addObserver(scene, scene.StartImportEvent, self._onSceneGoes)
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneIsThere)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneIsThere)
        self._refresh()
        # Reloading makes a new panel in the same place and never enters it.
        if self.parent.isEntered:
            self.enter()

    def resourcePath(self, filename: str) -> str:
        """Where Slicer's developer section looks for the .ui file, so that "Edit UI" finds it."""
        return str(resourcePath(filename))

    def enter(self) -> None:
        """The module is shown."""
        if self._entered:
            return
        self._entered = True
        self.parameters.connect()
        self.shortcuts.enable()
        self.handles.start()
        self.peekKey.start()
        self.pollTimer.refreshSoon()
        self._refresh()
        self.tour.resume()
        showAtFirstOpening(self.tour)

    def exit(self) -> None:
        """Another module is shown: keys and mouse are its own, what runs goes on."""
        self._entered = False
        self.shortcuts.disable()
        self.tools.activate(None)
        self.handles.stop()
        self.measures.hide()
        self.compare.showBoth()
        self.cheatSheet.hide()
        self.tour.pause()
        self.peekKey.stop()
        self.parameters.disconnect()

    def cleanup(self) -> None:
        """The panel is about to be destroyed."""
        if self.logic is None:
            return
        self.exit()
        self.buttons.close()
        self.tools.close()
        self.tour.close()
        self.see.close()
        self.compare.close()
        self.learn.close()
        self.peekKey.close()
        self.installer.close()
        self.pollTimer.close()
        self.removeObservers()
        self.logic.removeListener(self._onLogicEvent)
        self.logic = None
        SharedLogic.release()
        # Slicer hides a reloaded panel's widgets and keeps them; what they are connected to would be kept with them.
        self._root.setParent(None)
        self._root.deleteLater()

    def onReload(self) -> None:
        """The developer's reload button: Slicer reads the module's own file again, and with this all it imports."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("SAM3DSegmentLib", "inference_core")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _makeParts(self) -> None:
        ui, logic, guarded = self.ui, self.logic, self.guarded
        self.message = MessageArea(ui, logic, situation=self._situation)
        self.status = StatusLine(ui, logic, isBusy=lambda: self._busy, onStop=self._stop)
        self.parameters = ParameterSync(ui, logic, guarded, onVolume=showVolume)
        self.models = ModelPicker(ui, logic, self._chooseModel)
        self.segments = SegmentList(ui.segmentsTable, logic, guarded)
        self.prompts = PromptList(ui.promptsTable, logic, guarded)
        tools = ("foreground", "background", "box", "line", "scribble", "lasso")
        buttons = {kind: getattr(ui, f"{kind}Button") for kind in tools}
        self.pollTimer = PollTimer(self._poll, self._refresh, needed=self._needsTime)
        self.clicks = ClickWatch(
            ui, logic, self.message, choose=self.parameters.choose, onLookingAhead=self.pollTimer.start
        )  # fmt: skip
        self.tools = PlaceTools(
            buttons, logic, guarded,
            prepare=self._ensureDependencies, mayClick=self.clicks.mayClick, onPlaced=self.clicks.onPlaced,
            onRest=self.clicks.lookAhead, onLeft=logic.controller.stopLookingAhead,
        )  # fmt: skip
        self.see = SeeRow(ui, logic)
        self.measures = MeasuresRow(ui, logic)
        self.lesions = LesionSection(
            ui, logic, guarded, goTo=self.segments.goTo, refreshSoon=self.pollTimer.refreshSoon
        )  # fmt: skip
        self.compare = CompareSection(ui, logic, guarded, refreshSoon=self.pollTimer.refreshSoon)
        self.learn = LearnSection(ui, logic, guarded, refreshSoon=self.pollTimer.refreshSoon)
        self.handles = BoxHandles(logic)
        self.prompts.onChosen = lambda: self.handles.choose(self.prompts.chosen)
        self.peekKey = HeldKey("h", self.see.peek)
        self.boundary = Boundary(ui.boundarySlider, reset=ui.boundaryResetButton, logic=logic, guarded=guarded)
        self.advanced = AdvancedSection(ui, logic, guarded=guarded, choose=self.parameters.choose)
        self.words = WordsRow(ui, logic, guarded)
        self.installer = ModelInstaller(
            onStarted=self.pollTimer.refreshSoon,
            onProgress=self.status.showFetching,
            onDone=self._onModelInstalled,
            onError=self._onModelFailed,
        )
        self._shown = (
            self.models, self.segments, self.prompts, self.tools, self.boundary, self.advanced, self.see,
            self.measures, self.lesions, self.compare, self.learn, self.words, self.message,
        )  # fmt: skip
        self.shortcuts = Shortcuts(shortcutsOf(self))
        keys = self.shortcuts.asHtml()
        ui.shortcutsLabel.setText(keys)
        self.tour = Tour(ui, firstSteps(self))
        self.cheatSheet = CheatSheet(keys, onTour=self.tour.start)

    # What the logic says

    def _onLogicEvent(self, event: str, info: dict[str, Any]) -> None:
        self.see.followPreview()
        if event == "progress":
            self.status.showProgress(info["stage"], info["fraction"])
        elif event == "answered":
            self._onAnswered(info)
        elif event == "cautioned":
            model = self.logic.options.modelName
            self.message.show(info["message"], holds=lambda: self.logic.options.modelName == model)
        elif event == "exported":
            self.status.note(written(info["paths"]))
        elif event == "failed":
            self.message.show(self.models.explained(info["message"]), info["report"])
        self.pollTimer.refreshSoon()

    def _onAnswered(self, info: dict[str, Any]) -> None:
        self.status.showAnswer(info["seconds"])
        self.message.answered()
        editor = info.get("editor")
        if editor is None:
            return
        self.see.flashChange(editor, info["written"])
        if remark := Remarks.aboutMask(editor):
            self.message.show(remark, holds=lambda: self._overlaps(editor), outlastsAnswers=True)

    def _overlaps(self, editor: Any) -> bool:
        """Whether the current segment is that of the editor, and in another one's way."""
        return self.logic.workspace.current() is editor and bool(Remarks.aboutMask(editor))

    def _situation(self) -> Any:
        """What a message is about: it goes when this is another one."""
        logic = self.logic
        editor = logic.workspace.current()
        prompts = editor.state.placings if editor is not None else ()
        return (
            logic.volumeNode,
            logic.segmentId,
            logic.isLocked,
            prompts,
            logic.options.settings,
            logic.options.isInstalled,
        )

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
        for part in self._shown:
            part.refresh()
        self.buttons.refresh()
        obstacle = "" if self.buttons.isAutomatic else self.tools.obstacle
        self.status.refresh(self.tools.active, hasPrompts=bool(logic.prompts.items()), obstacle=obstacle)
        if self._entered and hasVolume and Dependencies.ready():
            logic.warmer.prepare(advise=Dependencies.unusedGpu)

    # What the user does

    def guarded(self, call: Callable[[], Any]) -> bool:
        """Do something; where it is refused, say so in the panel. Whether it was done."""
        from inference_core.errors import SAM3DError

        try:
            call()
        except (SAM3DError, Dependencies.DependencyError) as error:
            self.message.show(sentenceOf(error))
            return False
        return True

    def nextSegment(self, *_: Any) -> None:
        if self.guarded(self.logic.segments.next):
            self.tools.takeUpForNext()

    def step(self, by: int) -> None:
        """Go to the lesion before or after the current one, and show it."""
        ids = self.logic.segments.ids()
        if ids:
            now = ids.index(self.logic.segmentId) if self.logic.segmentId in ids else -by
            self.segments.goTo(ids[(now + by) % len(ids)])

    def _chooseModel(self, name: str) -> None:
        self.message.hide()
        self.parameters.choose(model=name)

    def _ensureDependencies(self) -> None:
        if not Dependencies.ready():
            Dependencies.ensureInstalled(self.status.showWork)

    def trySample(self) -> None:
        self.status.showWork(_("Making the sample..."))
        slicer.app.processEvents()
        self.parameters.choose(volume=loadSample())

    def runAutomatic(self) -> None:
        self._ensureDependencies()
        self.logic.automatic.start()

    def escape(self) -> None:
        if self.cheatSheet.isShown:
            self.cheatSheet.hide()
        elif self._busy:
            self._stop()
        else:
            self.tools.activate(None)

    def _stop(self) -> None:
        self.installer.cancel()
        self.logic.cancel()

    # Time and scene

    @property
    def _busy(self) -> bool:
        return self.logic.busy or self.installer.busy

    def _needsTime(self) -> bool:
        return self._busy or self.learn.isBusy or self.logic.controller.isLookingAhead

    def _poll(self, waitSeconds: float) -> None:
        self.logic.poll(waitSeconds)
        self.installer.poll(waitSeconds)
        self.learn.poll()

    def _onModelInstalled(self, text: str) -> None:
        self._refresh()
        self.status.showWork(text)

    def _onModelFailed(self, error: Exception) -> None:
        self.message.show(sentenceOf(error))
        self._refresh()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _scene: Any, _event: Any, node: Any) -> None:
        if node.IsA("vtkMRMLScalarVolumeNode"):
            self.parameters.offerSoon()
            self.pollTimer.refreshSoon()
        elif node.IsA("vtkMRMLTransformNode"):
            self.pollTimer.refreshSoon()

    def _onSceneGoes(self, *_: Any) -> None:
        self.tools.activate(None)
        self.parameters.disconnect()

    def _onSceneIsThere(self, *_: Any) -> None:
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"):
            drawAgain(display)
        if self._entered:
            self.parameters.connect()
        self.pollTimer.refreshSoon()
