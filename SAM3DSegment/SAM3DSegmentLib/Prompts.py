"""What can be done to the prompts of the current segment, besides placing them in the views."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.PromptNodes import promptSetOf
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.SegmentState import PromptItem
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.prompts.prompt_set import PromptSet


class Prompts:
    """Changes prompts; a change is answered at the next `poll`, like one made in a view.

    onTouched() is called after each change.
    """

    def __init__(self, workspace: Workspace, options: Options, onTouched: Callable[[], None]) -> None:
        self._workspace, self._options, self._onTouched = workspace, options, onTouched

    def items(self) -> tuple[PromptItem, ...]:
        """The prompts of the current segment in the order they were placed."""
        editor = self._workspace.current()
        return editor.items() if editor is not None else ()

    def placeNode(self, kind: str) -> Any:
        """The markups node to place a prompt of a kind into; a new one for each box and stroke.

        Raises:
            SAM3DError: there is no volume, or its geometry cannot be trusted.
        """
        node = self._workspace.require().nodes.placeNode(kind)
        self._workspace.watchPrompts()
        return node

    def touched(self) -> None:
        """A prompt was placed in a view."""
        self._onTouched()

    def addClick(self, ras: Any, positive: bool = True) -> None:
        """Place a click at a point in world RAS mm."""
        self._workspace.require().nodes.addClick(ras, positive=positive)
        self._onTouched()

    def addBox(self, center: Any, size: Any, axes: Any = None) -> None:
        """Place a box; center in world RAS mm, size of its edges in mm, axes (3, 3) with its directions as columns.

        Raises:
            PromptError: the box is empty or its axes are not at right angles.
        """
        import numpy as np

        from inference_core.geometry.box import Box3D

        box = Box3D(np.asarray(center), np.eye(3) if axes is None else np.asarray(axes), np.asarray(size))
        self._workspace.require().nodes.addBox(box)
        self._onTouched()

    def addText(self, text: str) -> None:
        """Name the target in words; weights that have learned none refuse it when it is answered.

        Raises:
            PromptError: it is empty or too long for a name, or nothing was chosen to read it with.
        """
        from inference_core.prompts.text import TextPrompt

        prompt = TextPrompt(text)
        self._requireTextEncoder()
        self._workspace.require().nodes.addText(prompt)
        self._workspace.watchPrompts()
        self._onTouched()

    def replaceBy(self, prompts: "PromptSet") -> None:
        """Exchange all prompts of the segment for others.

        Raises:
            PromptError: there are texts, and nothing was chosen to read them with.
        """
        if prompts.texts:
            self._requireTextEncoder()
        editor = self._workspace.require()
        with self._atOnce():
            editor.nodes.restore(())
            editor.nodes.place(prompts)

    def addBoxFromMask(self) -> None:
        """Place a box around what the segment holds, along its voxels' axes, one voxel wider.

        Raises:
            PromptError: the segment is empty.
        """
        from inference_core.errors import PromptError
        from inference_core.geometry.box import Box3D

        editor = self._workspace.require()
        editor.absorbManualEdits()
        mask = editor.mask
        if not mask.array.size:
            raise PromptError(_("The segment is empty; click or paint something first, or draw a box."))
        middle = [(a + b - 1) / 2 for a, b in zip(mask.start, mask.stop, strict=True)]
        size = [n + 2 for n in mask.array.shape]
        editor.nodes.addBox(Box3D.in_voxels(editor.where.lattice, center_ijk=middle, size_ijk=size))
        self._onTouched()

    def flip(self, promptId: str) -> None:
        """Turn the sign of a click, scribble or lasso round."""
        self._change(promptId, lambda editor, item: editor.nodes.flip(item))

    def delete(self, promptId: str) -> None:
        """Remove a prompt."""
        self._change(promptId, lambda editor, item: editor.nodes.delete(item))

    def move(self, promptId: str, ras: Any) -> None:
        """Move a click, or the center of a box or stroke, to a point in world RAS mm."""
        self._change(promptId, lambda editor, item: editor.nodes.move(item, ras))

    def setVisible(self, promptId: str, visible: bool) -> None:
        """Show or hide a prompt in the views; a hidden one still counts."""
        self._change(promptId, lambda editor, item: editor.nodes.setVisible(item, visible))

    def positionOf(self, promptId: str) -> tuple[float, float, float] | None:
        """Where a prompt is, in world RAS mm; None of a text."""
        return self._item(promptId).ras

    def clear(self) -> None:
        """Remove all prompts of the segment; what it held before the first of them comes back."""
        editor = self._workspace.require()
        with self._atOnce():
            editor.nodes.restore(())

    def exportTo(self, path: str | Path) -> None:
        """Save the segment's prompts as the command line's prompts.json.

        Raises:
            OutputError: the file cannot be written.
        """
        from inference_core.io.prompts_json import write_prompts

        prompts = promptSetOf(self.items())
        write_prompts(path, prompts, model=self._options.modelName, threshold=self._options.threshold)

    def importFrom(self, path: str | Path) -> None:
        """Replace the segment's prompts by those of a prompts.json, with the model and threshold it names.

        Raises:
            PromptError: the file cannot be understood.
            ModelError: it names a model that is unknown here.
        """
        from inference_core.io.prompts_json import read_prompts

        file = read_prompts(path)
        if file.model:
            self._options.setModel(file.model)
        self._workspace.require()
        if file.threshold is not None:
            self._options.setThreshold(file.threshold)
        self.replaceBy(file.prompts)

    def _requireTextEncoder(self) -> None:
        """A model that never learns words says so itself, when it is asked."""
        from inference_core.errors import PromptError

        mayLearn = self._options.models.spec(self._options.modelName).reads_text
        if mayLearn and not self._options.textEncoder:
            raise PromptError(_("Choose the folder of the text encoder under Advanced first; it reads the words."))

    def _change(self, promptId: str, change: Callable[[SegmentEditor, PromptItem], None]) -> None:
        editor = self._workspace.require()
        item = self._item(promptId)
        with self._atOnce():
            change(editor, item)

    @contextmanager
    def _atOnce(self) -> Iterator[None]:
        """Whatever is done to the nodes meanwhile is one step of the history."""
        with self._workspace.restoring():
            yield
        self._onTouched()

    def _item(self, promptId: str) -> PromptItem:
        from inference_core.errors import PromptError

        found = next((item for item in self.items() if item.id == promptId), None)
        if found is None:
            raise PromptError(_("This prompt is gone; choose one that is in the list."))
        return found
