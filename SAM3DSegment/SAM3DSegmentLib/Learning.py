"""Learning from the user's own corrections: masks that are accepted, and the default model tuned to them.

Tuning runs in a process of its own, at low priority, so that clicks go on being answered. What it gives is used only
when the user says so, and one step goes back.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.Paths import projectRoot
from SAM3DSegmentLib.PromptNodes import promptSetOf
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.training.accepted import AcceptedCase

_LOW_PRIORITY = 10


@dataclass(frozen=True)
class Outcome:
    """How an adaptation ended: in words, and the folder of the new weights where they are better."""

    sentence: str
    weights: str = ""


class Learning:
    """Keeps accepted masks in `folder`, and adapts the default model to them in a process of `python`, Slicer's own."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self._workspace, self._options = workspace, options
        self._process: Any = None
        self._run: Path | None = None
        self.folder = ""
        self.python = [shutil.which("PythonSlicer") or sys.executable]

    @property
    def isRunning(self) -> bool:
        """Whether an adaptation is under way, or has ended and was not taken note of."""
        return self._process is not None

    def cases(self) -> "list[AcceptedCase]":
        """The accepted cases, oldest first."""
        from inference_core.training.accepted import accepted_cases

        return accepted_cases(Path(self.folder)) if self.folder else []

    def accept(self) -> str:
        """Keep image, mask and prompts of the current segment; the case's name.

        Raises:
            SAM3DError: the segment is empty, or no folder is chosen or it cannot be written.
        """
        from inference_core.errors import OutputError
        from inference_core.training.accepted import accept

        if not self.folder:
            raise OutputError(_("Choose a folder for accepted masks first."))
        editor = self._workspace.require()
        editor.absorbManualEdits()
        volume = volumeFromNode(self._workspace.requireVolume())
        mask = editor.mask.on(volume.grid.shape).view(bool)
        return accept(Path(self.folder), volume, mask, promptSetOf(editor.items())).name

    def deleteLast(self) -> None:
        """Remove the newest accepted case."""
        cases = self.cases()
        if cases:
            cases[-1].delete()

    def start(self, minutes: float | None = None) -> None:
        """Begin to adapt the default model to all accepted cases, for the usual time or another.

        Raises:
            SAM3DError: there are too few of them.
        """
        from inference_core.errors import VolumeError
        from inference_core.training.accepted import FEWEST_CASES, USUAL_MINUTES

        count = len(self.cases())
        if count < FEWEST_CASES:
            raise VolumeError(_("{count} masks are accepted; accept at least {needed} of one kind.").format(
                count=count, needed=FEWEST_CASES))  # fmt: skip
        self._run = _newRun(Path(self.folder))
        command = [*self.python, "-m", "inference_core", "adapt", self.folder, "--output", str(self._run)]
        environment = {**os.environ, "PYTHONPATH": str(projectRoot())}
        self._process = subprocess.Popen(
            [*command, "--minutes", f"{minutes or USUAL_MINUTES:g}"], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, preexec_fn=_beNice if os.name == "posix" else None,  # noqa: PLW1509
        )  # fmt: skip

    def fraction(self, minutes: float | None = None) -> float:
        """How much of the time, the usual one or another, is over, by the run's own log."""
        from inference_core.training.accepted import USUAL_MINUTES

        log = self._run / "log.jsonl" if self._run is not None else None
        if log is None or not log.exists():
            return 0.0
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if '"minutes"' in line]
        try:
            return min(1.0, float(json.loads(lines[-1])["minutes"]) / (minutes or USUAL_MINUTES)) if lines else 0.0
        except ValueError:
            return 0.0

    def poll(self) -> Outcome | None:
        """What came of an adaptation that has ended, once; None before."""
        if self._process is None or self._process.poll() is None:
            return None
        process, self._process, run = self._process, None, self._run
        said = (process.stderr.read() or "").strip().splitlines()
        process.stderr.close()
        if process.returncode != 0 or run is None:
            return Outcome(said[-1] if said else _("The adaptation ended without a result."))
        verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
        sentence = next((line for line in said if "adapted model" in line), said[-1] if said else "")
        return Outcome(sentence, str(run) if verdict["better"] else "")

    def stop(self) -> None:
        """End an adaptation; nothing of it is kept."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        process.stderr.close()
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)

    def use(self, weights: str) -> None:
        """Answer with adapted weights from now on; "" goes back to the shipped ones."""
        self._options.setWeights(weights)


def _newRun(folder: Path) -> Path:
    runs = folder / "adapted"
    runs.mkdir(exist_ok=True)
    numbers = [int(path.name) for path in runs.iterdir() if path.name.isdigit()]
    return runs / str(max(numbers, default=0) + 1)


def _beNice() -> None:
    os.nice(_LOW_PRIORITY)
