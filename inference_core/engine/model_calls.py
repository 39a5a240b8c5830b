"""One question's way to the model: embeddings from the cache or encoded anew, decoding, progress and seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter

import numpy as np

from inference_core.engine.cache import EmbeddingCache
from inference_core.errors import ModelError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.models.interface import Decoded, Embedding, Float32, PromptableModel, WindowImage
from inference_core.models.spec import ModelSpec
from inference_core.prompts.encoding import WindowPrompts

Notify = Callable[[str, float], None]
_LARGEST = 1e15  # models take means of squares, over a million voxels


def silent(stage: str, fraction: float) -> None:
    """No one is listening."""


@dataclass
class ModelCalls:
    """Made for one question: `notify` is told of each step, and what it raises stops the work.

    encode_seconds, decode_seconds: what was spent so far.
    """

    model: PromptableModel
    cache: EmbeddingCache
    notify: Notify = silent
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def spec(self) -> ModelSpec:
        """What is known of the model."""
        return self.model.spec

    def embedding(self, window: Grid, sample: Callable[[], Float32], *, share: float = 0.0) -> Embedding:
        """The embedding of a window, of which `sample` gives the voxels where it is not in the cache.

        `share` is how much of the work is done, for `notify`.

        Raises:
            VolumeError: the window has values whose squares float32 cannot hold.
        """
        embedding = self.cache.get(window)
        if embedding is None:
            self.notify("encoding", share)
            started = perf_counter()
            embedding = self.model.encode(WindowImage(_checked(sample()), window))
            self.cache.put(embedding)
            self.encode_seconds += perf_counter() - started
        return embedding

    def decode(
        self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None, *, share: float = 0.0
    ) -> Decoded:
        """What the model decodes of an embedding.

        Raises:
            ModelError: a logit is NaN: no mask can be made of it, and an empty one would be a lie.
        """
        self.notify("decoding", share)
        started = perf_counter()
        decoded = self.model.decode(embedding, prompts, prior)
        self.decode_seconds += perf_counter() - started
        if np.isnan(decoded.low_res_logits).any():
            raise ModelError(
                "{title} gave an answer that is not a number; check its weights, or compute its encoder in float32.",
                title=self.spec.title,
            )
        known = decoded.quality is not None and isfinite(decoded.quality)
        return decoded if known else replace(decoded, quality=None)


def _checked(voxels: Float32) -> Float32:
    if not np.abs(voxels).max(initial=0.0) < _LARGEST:
        raise VolumeError("The image has values beyond {largest:g}; scale them before loading it.", largest=_LARGEST)
    return voxels
