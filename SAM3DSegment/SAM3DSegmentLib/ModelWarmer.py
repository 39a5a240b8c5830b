"""Loading torch and the model before the first click needs them, so that it waits for its image alone."""

from collections.abc import Callable

from SAM3DSegmentLib.Engine import Notify
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Settings import Settings


class ModelWarmer:
    """Gets the chosen model ready while the user still looks for the target."""

    def __init__(self, controller: PredictionController, options: Options, tell: Tell) -> None:
        self._controller, self._options, self._tell = controller, options, tell
        self._prepared: tuple[str, str, str, str] | None = None

    def prepare(self, advise: Callable[[], str | None] = lambda: None) -> None:
        """Load the chosen model in the worker's thread; nothing where that was done or tried, or something else runs.

        Packages and weights must be there. What fails here is not told: the first click tries again, and tells.
        advise() is called in the worker's thread the first time; what it says is passed on as "cautioned".
        """
        settings = self._options.settings
        if self._controller.busy or settings.loading == self._prepared or not self._options.isInstalled:
            return
        isFirst = self._prepared is None

        def run(notify: Notify) -> str | None:
            self._controller.engine.prepare(settings, notify)
            return advise() if isFirst else None

        self._controller.startJob(
            run,
            onDone=lambda advice: self._isPrepared(settings, advice),
            onError=lambda error: self._isNotPrepared(settings, error),
        )

    def _isPrepared(self, settings: Settings, advice: str | None) -> None:
        self._prepared = settings.loading
        if advice:
            self._tell("cautioned", message=advice)
        self._tell("state")

    def _isNotPrepared(self, settings: Settings, error: Exception) -> None:
        from inference_core.errors import Cancelled

        if not isinstance(error, Cancelled):
            self._prepared = settings.loading
        self._tell("state")
