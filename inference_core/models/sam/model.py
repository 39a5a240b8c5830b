"""Segment Anything (Kirillov et al. 2023), the 2D model, on single slices of a volume.

Pictures, prompts and masks are scaled as by its authors' predictor: the longer side to 1024 pixels, zeros to the right
and below, masks bilinearly back. A picture's rows run along the window's second axis, its columns along the first.

Legend: w h columns and rows of the low-res masks (a quarter of the network's input).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import CheckpointError, ModelError, PromptError
from inference_core.geometry.grid import Float
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SIZE_ERRORS, SamSizes, read_sizes
from inference_core.models.blocks.slice_preprocess import LongestSide, UInt8, eight_bit
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.spec import ModelSpec
from inference_core.models.weights import load_state_dict, load_strict, shapes_only
from inference_core.prompts.encoding import WindowPrompts, cross_section

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
_WIDTHS = {"sam": 768, "sam_vit_l": 1024, "sam_vit_h": 1280}


class Sam:
    """SAM as a promptable model of single slices."""

    def __init__(self, spec: ModelSpec, network: SamNetwork, device: str, *, precision: str = "auto") -> None:
        size = network.sizes.image_size
        self.spec = replace(spec, window=replace(spec.window, shape=(size, size, 1)))
        self.device, self.precision = device, resolve_precision(precision, device)
        self.network = network.to(device).eval()
        self.scale = LongestSide(size)
        self._places = network.prompt_encoder.dense_pe().detach()

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        """Encode one slice (nx, ny, 1) of any size.

        Raises:
            ModelError: there is more than one slice in the window.
            VolumeError: a voxel is not finite.
        """
        if window.array.shape[2] != 1:
            raise ModelError(
                "{title} looks at one slice at a time, not {value}.", title=self.spec.title, value=window.array.shape[2]
            )
        image = self.picture(eight_bit(window.array[:, :, 0].T))
        with autocast_to(self.precision, self.device):
            embedding = self.network.image_encoder(image).float()
        return Embedding({"image_embedding": embedding}, window.grid)

    def picture(self, picture: UInt8) -> Tensor:
        """An 8-bit picture, gray (H, W) or RGB (H, W, 3), as the network's input (1, 3, 1024, 1024)."""
        scaled = torch.from_numpy(self.scale.picture(picture)).to(self.device)
        pixels = scaled[..., None].expand(*scaled.shape[:2], 3) if scaled.ndim == 2 else scaled
        mean, deviation = torch.tensor((PIXEL_MEAN, PIXEL_STD), device=self.device)
        normed = (pixels.float() - mean) / deviation
        below, right = self.scale.size - scaled.shape[0], self.scale.size - scaled.shape[1]
        return F.pad(normed.permute(2, 0, 1)[None], (0, right, 0, below))

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode a slice's clicks, boxes and the previous logits (w, h, 1).

        A single click is ambiguous: of SAM's three answers the one is taken that it thinks best of. Otherwise its
        single answer is taken. Several boxes are decoded each with the clicks nearest to it, and their masks united.

        Raises:
            PromptError: there is neither a click, a box nor a previous mask in the slice.
        """
        if len(prompts.points) + len(prompts.boxes) == 0 and prior is None:
            raise PromptError("There is no prompt in this slice; place a foreground click on the target.")
        mask = None if prior is None else torch.from_numpy(np.ascontiguousarray(prior.T)).float()[None].to(self.device)
        shape = (embedding.grid.shape[1], embedding.grid.shape[0])
        ambiguous = prior is None and len(prompts.points) == 1 and len(prompts.boxes) == 0
        answers = [
            self._answer(embedding, self._scaled(some, shape), mask, ambiguous=ambiguous)
            for some in _one_box_each(prompts, shape)
        ]
        logits = torch.stack([answer for answer, _ in answers]).amax(dim=0)
        quality = float(np.mean([quality for _, quality in answers]))
        return Decoded(logits.float().cpu().numpy().T[..., None], min(max(quality, 0.0), 1.0))

    @torch.inference_mode()
    def to_voxels(self, low_res_logits: Float32, shape: tuple[int, int, int]) -> Float32:
        """Low-res logits (w, h, 1) to logits on the slice's voxels `shape` (nx, ny, 1)."""
        logits = torch.from_numpy(np.ascontiguousarray(low_res_logits.T))[None]
        picture = (shape[1], shape[0])
        height, width = self.scale.shape_of(picture)
        whole = _bilinear(logits, (self.scale.size, self.scale.size))
        found = _bilinear(whole[..., :height, :width], picture)
        return np.ascontiguousarray(found[0].numpy().T)

    @torch.inference_mode()
    def to_low_res(self, logits: Float32) -> Float32:
        """Logits on a slice's voxels (nx, ny, 1) as low-res logits; beyond the slice its last voxels are repeated."""
        picture = torch.from_numpy(np.ascontiguousarray(logits.T))[None]
        height, width = self.scale.shape_of((picture.shape[2], picture.shape[3]))
        size = self.scale.size
        scaled = F.pad(_bilinear(picture, (height, width)), (0, size - width, 0, size - height), mode="replicate")
        return np.ascontiguousarray(F.avg_pool2d(scaled, 4)[0].numpy().T)

    def _answer(
        self, embedding: Embedding, prompts: tuple[Tensor | None, ...], mask: Tensor | None, *, ambiguous: bool
    ) -> tuple[Tensor, float]:
        """The logits (h, w) of one prompt set and its predicted IoU."""
        points, labels, box = prompts
        clicks = (points, labels) if points is not None and labels is not None else None
        sparse, dense = self.network.prompt_encoder(clicks, box, mask)
        image = embedding.tensors["image_embedding"]
        masks, ious = self.network.mask_decoder(image, self._places, sparse=sparse, dense=dense)
        chosen = 1 + int(ious[0, 1:].argmax()) if ambiguous else 0
        return masks[0, chosen], float(ious[0, chosen])

    def _scaled(self, prompts: WindowPrompts, shape: tuple[int, int]) -> tuple[Tensor | None, ...]:
        """Points (1, N, 2), labels (1, N) and a box (1, 4) in the network's input, each None where there is none."""
        points = labels = box = None
        if len(prompts.points):
            points = torch.from_numpy(self.scale.points(prompts.points[:, :2], shape)).float()[None].to(self.device)
            labels = torch.from_numpy(prompts.labels)[None].to(self.device)
        if len(prompts.boxes):
            corners = _rectangle(prompts.boxes[0], shape).reshape(2, 2)
            box = torch.from_numpy(self.scale.points(corners, shape)).float().reshape(1, 4).to(self.device)
        return points, labels, box


def build(spec: ModelSpec, weights_path: Path, device: str, *, precision: str = "auto") -> Sam:
    """Build SAM from an official file or one of the same layout (`weights.load_state_dict`).

    Sizes are read off the file; it may be of another size than the official ones, but not of another official size than
    the spec's.

    Raises:
        CheckpointError: the file does not fit the network, or belongs to another spec.
    """
    state = load_state_dict(weights_path, most_bytes=spec.checkpoint.most_bytes)
    sizes = _sizes_of(state)
    refuse_other_size(sizes, spec, name=weights_path.name)
    with shapes_only():
        network = SamNetwork(sizes)
    load_strict(network, state, name=weights_path.name)
    return Sam(spec, network, device, precision=precision)


def refuse_other_size(sizes: SamSizes, spec: ModelSpec, *, name: str) -> None:
    """Refuse a file of another official size than the spec's.

    Raises:
        CheckpointError: it is one.
    """
    other = next((other for other, width in _WIDTHS.items() if width == sizes.width and other != spec.name), None)
    if other is not None:
        raise CheckpointError(
            "'{name}' belongs to the model '{other}'; choose that one for it.", name=name, other=other
        )


def _sizes_of(state: dict[str, Tensor]) -> SamSizes:
    try:
        return read_sizes(state)
    except SIZE_ERRORS:
        # Loading names what is missing: strictly, and in terms of the official file.
        return SamSizes()


def _one_box_each(prompts: WindowPrompts, shape: tuple[int, int]) -> list[WindowPrompts]:
    """Prompt sets of at most one box; each click goes with the box nearest to it, the first of those that hold it."""
    if len(prompts.boxes) < 2:
        return [prompts]
    rectangles = np.array([_rectangle(box, shape) for box in prompts.boxes])
    places = prompts.points[:, None, :2]
    beyond = np.maximum(0, np.maximum(rectangles[:, :2] - places, places - rectangles[:, 2:]))
    nearest = np.linalg.norm(beyond, axis=-1).argmin(axis=1)
    return [
        WindowPrompts(prompts.points[nearest == n], prompts.labels[nearest == n], prompts.boxes[n : n + 1])
        for n in range(len(prompts.boxes))
    ]


def _rectangle(corners: Float, shape: tuple[int, int]) -> Float:
    """The cut (4,), x0, y0, x1, y1, of a box through the slice, no larger than the picture (H, W)."""
    limits = np.array([shape[1], shape[0]] * 2) - 0.5
    return np.clip(cross_section(corners, 0.0), -0.5, limits)


def _bilinear(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=shape, mode="bilinear", align_corners=False)
