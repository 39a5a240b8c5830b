"""What can be done to the prompts of the current segment, besides placing them in the views."""

from pathlib import Path
from typing import Any

from SAM3DSegmentLib.PromptNodes import PromptItem, promptSetOf
from SAM3DSegmentLib.SegmentWork import SegmentWork


class PromptCommands:
    """The part of the logic that changes prompts; a change is answered at the next `poll`, like one made in a view."""

    def promptItems(self) -> tuple[PromptItem, ...]:
        """The prompts of the current segment in the order they were placed."""
        work = self.currentWork()
        return work.items() if work is not None else ()

    def placeNode(self, kind: str) -> Any:
        """The markups node to place a "foreground", "background" or "box" prompt into; a new one for each box.

        Raises:
            SAM3DError: there is no volume, or its geometry cannot be trusted.
        """
        node = self.requireWork().nodes.placeNode(kind)
        self.watchPrompts()
        return node

    def addClick(self, ras: Any, positive: bool = True) -> None:
        """Place a click at a point in world RAS mm."""
        self.requireWork().nodes.addClick(ras, positive=positive)
        self.promptsTouched()

    def addBox(self, center: Any, size: Any, axes: Any = None) -> None:
        """Place a box; center in world RAS mm, size of its edges in mm, axes (3, 3) with its directions as columns.

        Raises:
            PromptError: the box is empty or its axes are not at right angles.
        """
        import numpy as np

        from inference_core.geometry.box import Box3D

        box = Box3D(np.asarray(center), np.eye(3) if axes is None else np.asarray(axes), np.asarray(size))
        self.requireWork().nodes.addBox(box)
        self.promptsTouched()

    def addBoxFromMask(self) -> None:
        """Place a box around what the segment holds, along its voxels' axes, one voxel wider.

        Raises:
            PromptError: the segment is empty.
        """
        from inference_core.errors import PromptError
        from inference_core.geometry.box import Box3D

        work = self.requireWork()
        work.noticeEdits()
        mask = work.mask
        if not mask.array.size:
            raise PromptError("The segment is empty; click or paint something first, or draw a box.")
        middle = [(a + b - 1) / 2 for a, b in zip(mask.start, mask.stop, strict=True)]
        size = [n + 2 for n in mask.array.shape]
        work.nodes.addBox(Box3D.in_voxels(work.where.lattice, center_ijk=middle, size_ijk=size))
        self.promptsTouched()

    def flipPrompt(self, promptId: str) -> None:
        """Turn a click's sign round."""
        self._change(promptId, lambda work, item: work.nodes.flip(item))

    def deletePrompt(self, promptId: str) -> None:
        """Remove a prompt."""
        self._change(promptId, lambda work, item: work.nodes.delete(item))

    def movePrompt(self, promptId: str, ras: Any) -> None:
        """Move a click, or a box's center, to a point in world RAS mm."""
        self._change(promptId, lambda work, item: work.nodes.move(item, ras))

    def setPromptVisible(self, promptId: str, visible: bool) -> None:
        """Show or hide a prompt in the views; a hidden one still counts."""
        self._change(promptId, lambda work, item: work.nodes.setVisible(item, visible))

    def promptPosition(self, promptId: str) -> tuple[float, float, float]:
        """Where a prompt is, in world RAS mm."""
        return self._item(promptId).ras

    def clearPrompts(self) -> None:
        """Remove all prompts of the segment; what it held before the first of them comes back."""
        self.requireWork().nodes.restore(())
        self.promptsTouched()

    def exportPrompts(self, path: str | Path) -> None:
        """Save the segment's prompts as the command line's prompts.json.

        Raises:
            OutputError: the file cannot be written.
        """
        from inference_core.io.prompts_json import write_prompts

        prompts = promptSetOf(self.promptItems())
        write_prompts(path, prompts, model=self.settings.model, threshold=self.settings.threshold)

    def importPrompts(self, path: str | Path) -> None:
        """Replace the segment's prompts by those of a prompts.json, with the model and threshold it names.

        Raises:
            PromptError: the file cannot be understood.
            ModelError: it names a model that is unknown here.
        """
        from inference_core.io.prompts_json import read_prompts

        file = read_prompts(path)
        if file.model:
            self.setModel(file.model)
        if file.threshold is not None:
            self.setThreshold(file.threshold)
        nodes = self.requireWork().nodes
        nodes.restore(())
        nodes.place(file.prompts)
        self.promptsTouched()

    def _change(self, promptId: str, change: Any) -> None:
        change(self.requireWork(), self._item(promptId))
        self.promptsTouched()

    def _item(self, promptId: str) -> PromptItem:
        from inference_core.errors import PromptError

        found = next((item for item in self.promptItems() if item.id == promptId), None)
        if found is None:
            raise PromptError("This prompt is gone; choose one that is in the list.")
        return found

    def currentWork(self) -> SegmentWork | None:
        """The current segment's work, if there is a segment."""
        raise NotImplementedError

    def requireWork(self) -> SegmentWork:
        """The current segment's work; a segmentation and a segment are made where there are none."""
        raise NotImplementedError
