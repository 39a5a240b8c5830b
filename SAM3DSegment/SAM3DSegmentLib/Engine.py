"""The torch side of the module: model and sessions, touched by the worker's thread alone. Knows neither MRML nor Qt."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference_core.engine.automatic import Labeled
    from inference_core.engine.session import Prediction, Session
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.models.interface import Model
    from inference_core.prompts.prompt_set import PromptSet
    from SAM3DSegmentLib.Settings import SegmentSettings, Settings

Notify = Callable[[str, float], None]
OpenModel = Callable[..., "Model"]
_MOST_SESSIONS = 8
# Some forty windows of the built-in model, two of SAM-Med3D: encoding one again costs less than a full memory.
_CACHE_BYTES = 256 * 1024**2
# For each session: some forty decoded answers, of which going back and forth needs a few.
_LOGITS_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Request:
    """One question to a model: prompts on a volume. Keys tell whether volume and segment were asked about before."""

    volume: "Volume"
    volumeKey: Hashable
    segmentKey: Hashable  # None: of a segment that is not there yet
    settings: "Settings"
    segmentSettings: "SegmentSettings"
    prompts: "PromptSet"


class Engine:
    """Answers requests, keeping the model, the embeddings of each volume and a session for each segment.

    openModel(name, device=, precision=, weights=) loads a model, canHalve(device) says whether a device computes in
    bfloat16 itself; the core's own do it unless others are handed in. halves: what canHalve said of the loaded model's.
    """

    def __init__(self, openModel: OpenModel | None = None, canHalve: Callable[[str], bool] | None = None) -> None:
        self._openModel, self._canHalve = openModel, canHalve
        self._model: Model | None = None
        self._loaded: tuple[str, str, str, str] | None = None
        self._sessions: OrderedDict[tuple[Hashable, ...], Session] = OrderedDict()
        self._cautions: tuple[str, ...] = ()
        self._lookedAt: Hashable = None
        self._textEncoder = ""
        self.description = ""
        self.halves = False

    def takeCautions(self) -> tuple[str, ...]:
        """What is to be told since the last call: of a model's file, such as tensors never trained, or of an image."""
        cautions, self._cautions = self._cautions, ()
        return cautions

    def answer(
        self, request: Request, notify: Notify, *, onPreview: "Callable[[Prediction], None] | None" = None
    ) -> "Prediction":
        """Answer a request; on a GPU that runs out of memory, again without caches, and then on the CPU.

        onPreview() is told of an answer near to it, where the answer itself will take a while.

        Raises:
            SAM3DError: the request cannot be answered, with what to do; `Cancelled` when notify raises it.
        """
        from inference_core.errors import DeviceError

        try:
            if onPreview is not None and (preview := self._preview(request, notify)) is not None:
                onPreview(preview)
                tell, notify = notify, lambda _stage, fraction: tell("refining", fraction)
            return self._answer(request, request.settings.device, notify)
        except DeviceError:
            self.forget()
            if self._model is None or self._model.device == "cpu":
                raise
        try:
            return self._answer(request, request.settings.device, notify)
        except DeviceError:
            self.forget()
            self._loaded = None
            return self._answer(request, "cpu", notify)

    def classes(self, volume: "Volume", settings: "Settings", notify: Notify, *, quick: bool) -> "Labeled":
        """All classes that an automatic model finds in a volume.

        Raises:
            SAM3DError: the model cannot be used so, with what to do; `Cancelled` when notify raises it.
        """
        from inference_core.engine.automatic import segment_automatically

        model = self._open(settings, settings.device, notify)
        return segment_automatically(volume, model, quick=quick, notify=notify)

    def unsureBand(self, request: Request) -> "Mask":
        """Where the answer to a request is unsure; empty where that answer is not kept. Nothing is computed anew."""
        from inference_core.geometry.mask import EMPTY

        session = self._sessions.get(_sessionKey(request))
        if session is None:
            return EMPTY
        return session.unsure_band(request.prompts, options=request.segmentSettings.maskOptions)

    def prepare(self, settings: "Settings", notify: Notify) -> None:
        """Load the model that these settings name and warm it up, unless it is loaded.

        Raises:
            SAM3DError: the model cannot be used, with what to do; `Cancelled` when notify raises it.
        """
        from inference_core.engine.warm_up import warm_up
        from inference_core.models.interface import promptable

        before = self._model
        model = self._open(settings, settings.device, notify)
        if model is not before and not model.spec.automatic:
            warm_up(promptable(model))

    def lookAhead(self, request: Request, notify: Notify) -> None:
        """Work out the answer to a question that may come, so that it is there when it does.

        Nothing is loaded for it, and nothing is done that could not be stopped at once: that takes a model whose
        encoder is light, or a GPU.

        Raises:
            SAM3DError: the request cannot be answered, which its asker will be told; `Cancelled` when notify raises it.
        """
        from inference_core.engine.interruption import interruptible
        from inference_core.engine.warm_up import is_light

        if self._model is None or self._loaded != request.settings.loading or not is_light(self._model):
            return
        with interruptible(lambda: notify("ahead", 0.0)):
            options = request.segmentSettings.maskOptions
            self._session(request).predict(request.prompts, options=options, notify=notify)

    def openSession(self, volume: "Volume", settings: "Settings", notify: Notify) -> "Session":
        """A session on a volume, with the model that these settings name; nothing of it is kept here.

        Raises:
            SAM3DError: the model cannot be used, with what to do; `Cancelled` when notify raises it.
        """
        from inference_core.engine.session import Session

        return Session(volume, self._open(settings, settings.device, notify))

    def another(self) -> "Engine":
        """An engine beside this one, that opens models the same way."""
        return Engine(self._openModel, self._canHalve)

    def readsTexts(self, modelName: str) -> bool:
        """Whether a model is loaded whose weights have learned to be told in words; False until it is loaded."""
        model, loaded = self._model, self._loaded
        return model is not None and loaded is not None and loaded[0] == modelName and _readsTexts(model)

    def forget(self) -> None:
        """Let go of all sessions and their embeddings."""
        self._sessions.clear()
        _empty_gpu_cache()

    def _preview(self, request: Request, notify: Notify) -> "Prediction | None":
        """Of a segment that was asked about before, with the model as it is."""
        session = self._sessions.get(_sessionKey(request))
        if session is None or self._loaded != request.settings.loading:
            return None
        return session.preview(request.prompts, options=request.segmentSettings.maskOptions, notify=notify)

    def _answer(self, request: Request, device: str, notify: Notify) -> "Prediction":
        model = self._open(request.settings, device, notify)
        if request.prompts.texts:
            self._readTextsWith(model, request.settings.textEncoder)
        self._lookAt(request)
        session = self._session(request)
        return session.predict(request.prompts, options=request.segmentSettings.maskOptions, notify=notify)

    def _readTextsWith(self, model: "Model", folder: str) -> None:
        """Give the model what reads words; one that reads none says so itself."""
        from inference_core.models.interface import ReadsTexts

        if folder and folder != self._textEncoder and isinstance(model, ReadsTexts) and _readsTexts(model):
            model.read_texts_with(Path(folder))
            self._textEncoder = folder

    def _lookAt(self, request: Request) -> None:
        """Note, once an image, what looks wrong with it: a voxel size that a file may have lost, values all alike."""
        from inference_core.geometry.values import volume_cautions

        if self._lookedAt != request.volumeKey:
            self._lookedAt = request.volumeKey
            self._cautions += volume_cautions(request.volume)

    def _open(self, settings: "Settings", device: str, notify: Notify) -> "Model":
        from inference_core.models.blocks.precision import computes_bfloat16

        wanted = replace(settings, device=device).loading
        if self._model is None or self._loaded != wanted:
            notify("loading", 0.0)
            self.forget()
            self._model = None
            self._model = self._opened(settings, device)
            self._loaded, self._textEncoder = wanted, ""
            self.description = _described(self._model.device)
            self.halves = (self._canHalve or computes_bfloat16)(self._model.device)
            self._cautions = self._model.spec.cautions
        return self._model

    def _opened(self, settings: "Settings", device: str) -> "Model":
        from inference_core.engine.open_model import open_model
        from inference_core.models.registry import DEFAULT_MODEL

        how: dict[str, Any] = {"device": device, "precision": settings.precision}
        if settings.weights and settings.model == DEFAULT_MODEL:
            how["weights"] = Path(settings.weights)
        return (self._openModel or open_model)(settings.model, **how)

    def _session(self, request: Request) -> "Session":
        """The session of this segment on this volume; segments of one volume share their embeddings."""
        from inference_core.engine.cache import EmbeddingCache
        from inference_core.engine.session import Session

        key = _sessionKey(request)
        foreseen = (request.volumeKey, None, request.segmentSettings.windowMm)
        if key not in self._sessions and foreseen in self._sessions:
            # What was worked out for the segment before it was there.
            self._sessions[key] = self._sessions.pop(foreseen)
        if key not in self._sessions:
            for other in [other for other in self._sessions if other[0] != request.volumeKey]:
                del self._sessions[other]
            shared = next((session.cache for session in self._sessions.values()), EmbeddingCache(_CACHE_BYTES))
            assert self._model is not None
            self._sessions[key] = Session(
                request.volume,
                self._model,
                cache=shared,
                logits_bytes=_LOGITS_BYTES,
                window_mm=request.segmentSettings.windowMm,
            )
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key]


def _readsTexts(model: "Model") -> bool:
    from inference_core.models.spec import PromptKind

    return PromptKind.TEXT in model.spec.accepted_kinds


def _sessionKey(request: Request) -> tuple[Hashable, ...]:
    return request.volumeKey, request.segmentKey, request.segmentSettings.windowMm


def _described(device: str) -> str:
    """The device in words: "CPU, 2 cores", or the GPU's name and free memory."""
    import os

    import torch

    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return f"CUDA: {torch.cuda.get_device_name(device)}, {free / 2**30:.0f} GB free"
    if device.startswith("mps"):
        return "Apple GPU (MPS)"
    return f"CPU, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def _empty_gpu_cache() -> None:
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
