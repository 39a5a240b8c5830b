"""3DSAM-adapter: a 2D SAM adapted to tumors in CT, one set of weights for each organ (arXiv:2306.13465).

It looks at 128 voxels of 1 mm a side and is told by foreground clicks where the tumor is. Its clicks have no sign, it
has never seen a box or an earlier mask, and it knows Hounsfield units only. The network is in `sam3d_adapter_network`;
here are its intensity rule and its prompting, as in the official script.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference_core.errors import ModelError, PromptError
from inference_core.geometry.grid import Float
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.sam3d_adapter.check_memory import remembered_check
from inference_core.models.sam3d_adapter.checkpoint import network_of, state_from
from inference_core.models.sam3d_adapter.network import Sam3DAdapterNetwork
from inference_core.models.sam3d_adapter.self_check import check_order, order_caution, training_cautions
from inference_core.models.spec import HounsfieldScale, ModelSpec
from inference_core.prompts.encoding import WindowPrompts

_LOG = logging.getLogger(__name__)
_LEAST_TISSUE = 0.02
_LEAST_DEVIATION_HU = 3.0


class Sam3DAdapter:
    """3DSAM-adapter as a promptable model; windows are right-anterior-superior, 1 mm, the mean HU beyond the volume.

    The network's axes (D, H, W) are the window's (k, j, i): the authors' files lie superior, anterior, right or the
    other way round, and training flipped them at random. The low-res logits are the tumor's less the background's, so
    that zero is a probability of one half, on the window's own voxels.
    """

    def __init__(self, spec: ModelSpec, network: Sam3DAdapterNetwork, device: str, *, precision: str = "auto") -> None:
        size = network.config.image_size
        assert spec.hounsfield is not None, "the registry gives this family its intensities"
        self.spec = replace(spec, window=replace(spec.window, shape=(size, size, size)))
        self.device, self.precision = device, resolve_precision(precision, device)
        self.network = network.to(device).eval()
        self._scale = spec.hounsfield

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        """Encode a window of the spec's shape: the deepest map, and all that clicks do not change of the decoding.

        Raises:
            ModelError: the window has another shape.
        """
        if window.array.shape != self.spec.window.shape:
            raise ModelError(
                "{title} looks at windows of {shape} voxels, not {shape2}; sample the window in that shape.",
                title=self.spec.title,
                shape=self.spec.window.shape,
                shape2=window.array.shape,
            )
        raw = torch.from_numpy(np.ascontiguousarray(window.array.T, dtype=np.float32))
        if not looks_like_hounsfield_units(raw, self._scale):
            _LOG.warning(
                "The image around the prompts does not look like Hounsfield units, the only ones that %s knows; "
                "use it on a CT that was loaded with its rescale slope and intercept.", self.spec.title,
            )  # fmt: skip
        image = scaled(raw, self._scale)[None, None].to(self.device)
        with autocast_to(self.precision, self.device):
            *shallow, deepest = (features.float() for features in self.network.encoder(image))
        return Embedding({"deepest": deepest, "fixed": self.network.decoder.fixed(shallow, image)}, window.grid)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode all foreground clicks; the network reads neither background clicks nor `prior`. A box is a click.

        Raises:
            PromptError: there is neither a foreground click nor a box in the window.
        """
        points = _points_of(prompts)
        if len(points) == 0:
            raise PromptError("There is no foreground click in this window; place one on the tumor.")
        given = torch.from_numpy(points[:, ::-1].astype(np.float32)).to(self.device)
        prompted = self.network.prompt_encoder(embedding.tensors["deepest"], given)
        logits = self.network.decoder.prompted(embedding.tensors["fixed"], prompted)
        tumor = (logits[0, 1] - logits[0, 0]).float().cpu().numpy()
        return Decoded(np.ascontiguousarray(tumor.T), None)


def build(spec: ModelSpec, weights_path: Path, device: str, *, precision: str = "auto") -> Sam3DAdapter:
    """Build 3DSAM-adapter from an official checkpoint or a flat file, of any size of this family.

    The spec's cautions tell where the file seems to be one of those that the authors replaced in August 2023.

    Raises:
        CheckpointError: the file does not fit the network.
    """
    state = state_from(weights_path)
    model = Sam3DAdapter(spec, network_of(state, name=weights_path.name), device, precision=precision)
    cautions = training_cautions(state)
    # What the network does not use of it goes before the network is tried.
    del state
    cautions = cautions or order_caution(remembered_check(weights_path, lambda: check_order(model.network)))
    model.spec = replace(model.spec, cautions=cautions)
    return model


def scaled(raw: Tensor, scale: HounsfieldScale) -> Tensor:
    """Hounsfield units as the network takes them; the mean becomes exactly zero."""
    return (raw.clamp(scale.low, scale.high) - scale.mean) / scale.deviation


def looks_like_hounsfield_units(raw: Tensor, scale: HounsfieldScale) -> bool:
    """Whether voxels could be a part of a body in HU: something is below water, and there is soft tissue that varies.

    An MR image and a CT without its rescale intercept have nothing below zero; a normalized image hardly varies. A
    window beyond the volume is all mean.
    """
    inside = raw[raw != np.float32(scale.mean)]
    if len(inside) == 0:
        return True
    tissue = ((inside > scale.low) & (inside < scale.high)).float().mean()
    return bool(inside.min() < 0 and tissue > _LEAST_TISSUE and inside.std() > _LEAST_DEVIATION_HU)


def _points_of(prompts: WindowPrompts) -> Float:
    """The foreground clicks (N, 3) in the window's (i, j, k); without any, the boxes' centers."""
    positive = prompts.points[prompts.labels == 1]
    if len(positive) or len(prompts.boxes) == 0:
        return np.asarray(positive)
    return np.asarray(prompts.boxes.mean(axis=1))
