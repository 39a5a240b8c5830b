"""Gets a model's weights, from their authors' server or from a file, while Slicer stays usable."""

import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib import GarbageGuard
from SAM3DSegmentLib.Panel import Formatting
from SAM3DSegmentLib.Panel.FileDialog import pathToOpen

if TYPE_CHECKING:
    from inference_core.models.spec import ModelSpec

# A download looks at least this often whether it is to stop.
_CLOSE_SECONDS = 2.0


class ModelInstaller:
    """One installation at a time, in a thread of its own that touches neither MRML nor Qt; poll() brings its news.

    onStarted() is to see to it that poll() is called. onProgress(text, fraction), onDone(text) and onError(error) are
    called from poll(), on the main thread.
    """

    def __init__(
        self,
        *,
        onStarted: Callable[[], None],
        onProgress: Callable[[str, float], None],
        onDone: Callable[[str], None],
        onError: Callable[[Exception], None],
    ) -> None:
        self._onStarted, self._onProgress, self._onDone, self._onError = onStarted, onProgress, onDone, onError
        self._news: queue.Queue[Callable[[], None]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether something is being fetched."""
        return self._thread is not None

    def askAndStart(self, spec: "ModelSpec") -> None:
        """Download a model's weights, if the user agrees to license, size and server."""
        question = _(
            "Download the weights of {title} ({size}) from\n{url}\n\n"
            "Their license: {license}\n\nNo image is sent anywhere."
        ).format(
            title=spec.title,
            size=Formatting.fileSize(spec.checkpoint.size_bytes) or _("size unknown"),
            url=spec.checkpoint.url,
            license=spec.license,
        )
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Download a model")):
            self.start(spec)

    def askForFile(self, spec: "ModelSpec") -> None:
        """Install a model's weights from a file that the user chooses."""
        title = _("Weights of {title}: {name}").format(title=spec.title, name=spec.checkpoint.filename)
        path = pathToOpen(title)
        if path is not None:
            self.start(spec, path)

    def start(self, spec: "ModelSpec", source: Path | None = None) -> None:
        """Install from the server, or from a file where `source` is given."""
        if self.busy:
            return
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(spec, source), name="SAM3DSegment model", daemon=True)
        self._thread.start()
        GarbageGuard.hold(self)
        self._onStarted()

    def cancel(self) -> None:
        """Stop; what has arrived is kept, and the next try goes on from there."""
        self._stopped.set()

    def close(self) -> None:
        """The panel goes: stop, and wait for what cannot be left behind."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
            GarbageGuard.release(self)

    def poll(self, waitSeconds: float = 0.0) -> None:
        """Deliver what there is to tell; a wait lets the thread run, since Qt's loop does not."""
        if self._thread is None:
            return
        self._thread.join(waitSeconds)
        GarbageGuard.collect()
        while not self._news.empty():
            self._news.get()()

    def _run(self, spec: "ModelSpec", source: Path | None) -> None:
        from inference_core.errors import Cancelled, SAM3DError
        from inference_core.models.download import download

        def progress(received: int, total: int | None) -> None:
            if self._stopped.is_set():
                raise Cancelled
            text = _("Getting {title}: {received}").format(
                title=spec.title, received=Formatting.fileSize(received) or "0 MB"
            )
            self._news.put(lambda: self._onProgress(text, received / total if total else 0.0))

        try:
            download(spec, source=source, progress=progress)
        except Cancelled:
            self._finish(lambda: self._onDone(_("Stopped; the next download goes on from here.")))
        except (SAM3DError, OSError) as error:
            self._finish(partial(self._onError, error))
        else:
            self._finish(lambda: self._onDone(_("{title} is installed.").format(title=spec.title)))

    def _finish(self, tell: Callable[[], Any]) -> None:
        def finished() -> None:
            self._thread = None
            GarbageGuard.release(self)
            tell()

        self._news.put(finished)
