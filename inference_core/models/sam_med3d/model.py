"""SAM-Med3D: a 3D SAM that sees 128 voxels of 1.5 mm a side and is told what to segment by clicks (arXiv:2310.15161).

The network is in `network`; here are its intensity rule and its prompting, as in the official script.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import ModelError, PromptError, VolumeError
from inference_core.geometry.grid import Float
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
from inference_core.models.spec import ModelSpec
from inference_core.models.weights import load_state_dict, load_strict, shapes_only
from inference_core.prompts.encoding import WindowPrompts


class SamMed3D:
    """SAM-Med3D as a promptable model; windows are right-anterior-superior, 1.5 mm, zero beyond the volume."""

    def __init__(self, spec: ModelSpec, network: SamMed3DNetwork, device: str, *, precision: str = "auto") -> None:
        size = network.config.image_size
        self.spec = replace(spec, window=replace(spec.window, shape=(size, size, size)))
        self.device, self.precision = device, resolve_precision(precision, device)
        self.network = network.to(device).eval()

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        """Encode a window of the spec's shape.

        Raises:
            ModelError: the window has another shape.
            VolumeError: it has no contrast above zero.
        """
        if window.array.shape != self.spec.window.shape:
            raise ModelError(
                "{title} looks at windows of {shape} voxels, not {shape2}; sample the window in that shape.",
                title=self.spec.title,
                shape=self.spec.window.shape,
                shape2=window.array.shape,
            )
        raw = torch.from_numpy(np.ascontiguousarray(window.array, dtype=np.float32))
        image = foreground_zscore(raw)[None, None].to(self.device)
        with autocast_to(self.precision, self.device):
            embedding = self.network.image_encoder(image).float()
        return Embedding({"image_embedding": embedding}, window.grid)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode all clicks so far with the previous logits, as the official script does; a box counts as a click.

        Raises:
            PromptError: there is neither a click, a box nor a previous mask in the window.
        """
        points, labels = _points_of(prompts)
        if len(points) == 0 and prior is None:
            raise PromptError("There is no prompt in this window; place a foreground click on the target.")
        shape = [4 * self.network.config.grid] * 3
        # Training starts from a mask of zero logits, so that `no_mask_embed` stays as it was drawn and is of no use.
        earlier = torch.zeros(shape) if prior is None else torch.from_numpy(np.ascontiguousarray(prior)).float()
        sparse, dense = self.network.prompt_encoder(
            torch.from_numpy(points).float()[None].to(self.device) if len(points) else None,
            torch.from_numpy(labels)[None].to(self.device) if len(points) else None,
            earlier[None, None].to(self.device),
        )
        image, places = embedding.tensors["image_embedding"], self.network.prompt_encoder.dense_pe()
        masks, _ = self.network.mask_decoder(image, places, sparse=sparse, dense=dense)
        return Decoded(masks[0, 0].float().cpu().numpy(), None)


def build(spec: ModelSpec, weights_path: Path, device: str, *, precision: str = "auto") -> SamMed3D:
    """Build SAM-Med3D from an official file, a training checkpoint or safetensors, of any size of this family.

    Raises:
        CheckpointError: the file does not fit the network.
    """
    state = load_state_dict(weights_path, most_bytes=spec.checkpoint.most_bytes)
    with shapes_only():
        network = SamMed3DNetwork(SamMed3DConfig.of(state))
    load_strict(network, state, name=weights_path.name)
    return SamMed3D(spec, network, device, precision=precision)


def foreground_zscore(raw: Tensor) -> Tensor:
    """Center and scale all voxels by the mean and the unbiased deviation of those above zero.

    Raises:
        VolumeError: fewer than two values lie above zero.
    """
    foreground = raw[raw > 0]
    if len(foreground) < 2:
        raise VolumeError(
            "Hardly any voxel around the prompts is above zero; place them on the patient or add an offset."
        )
    mean, deviation = foreground.mean(), foreground.std()
    if not deviation > 0:
        raise VolumeError("The image around the prompts has no contrast above zero; place the prompts on the patient.")
    return (raw - mean) / deviation


def _points_of(prompts: WindowPrompts) -> tuple[Float, NDArray[np.int64]]:
    """The clicks (N, 3) and their labels (N,); without clicks, the boxes' centers as positive ones."""
    if len(prompts.points) or len(prompts.boxes) == 0:
        return prompts.points, prompts.labels
    return prompts.boxes.mean(axis=1), np.ones(len(prompts.boxes), dtype=np.int64)
