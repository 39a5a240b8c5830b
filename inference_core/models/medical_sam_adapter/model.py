"""Medical SAM Adapter (Wu et al., arXiv:2304.12620): SAM with adapters in its encoder, on slices or on chunks of them.

How a slice becomes the network's input and how a click is written cannot be read off the weights: both stand in the
spec. The 3D models take the volume's own voxels where the official scripts brought volumes to 1.5 x 1.5 x 2 mm first;
a volume of that spacing is seen exactly as there.

Only single foreground clicks were trained. Background clicks, boxes and earlier masks go through the prompt encoder,
which training left as it is in SAM, but the decoder has not seen them since.

Legend: n slices of a window, S the side of the network's input, w h a quarter of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import ModelError, PromptError
from inference_core.geometry.grid import Float, Grid
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.medical_sam_adapter.checkpoint import read_checkpoint
from inference_core.models.medical_sam_adapter.network import adapted_network, as_many_as_slices, fold_for_inference
from inference_core.models.medical_sam_adapter.preprocess import (
    PictureFrame,
    network_boxes,
    network_images,
    network_points,
)
from inference_core.models.medical_sam_adapter.text import check_encoder
from inference_core.models.spec import ModelSpec, PromptKind
from inference_core.models.text_encoder import TextEncoder, read_text_encoder
from inference_core.models.weights import load_strict, shapes_only
from inference_core.prompts.encoding import WindowPrompts


class MedicalSamAdapter:
    """Medical SAM Adapter as a promptable model of single slices, or of chunks of them (spec.window.shape[2] > 1)."""

    def __init__(
        self,
        spec: ModelSpec,
        network: SamNetwork,
        device: str,
        *,
        precision: str = "auto",
    ) -> None:
        self.size = network.sizes.image_size
        self.deep = spec.window.shape[2] > 1
        self.spec = replace(spec, window=replace(spec.window, shape=(self.size, self.size, spec.window.shape[2])))
        self.device, self.precision = device, resolve_precision(precision, device)
        self.network = network.to(device).eval()
        self._text_encoder: TextEncoder | None = None
        self._places = network.prompt_encoder.dense_pe().detach()

    def read_texts_with(self, folder: Path, *, name: str = "") -> None:
        """Read texts with the CLIP in a folder, in place of the one before; `name` is how errors call the weights.

        Raises:
            CheckpointError: the folder is no CLIP's, or these weights learned texts with another one.
            ModelError: these weights learned no texts, or the library that reads tokenizers is not installed.
        """
        encoder = read_text_encoder(folder)
        check_encoder(self.network, encoder, name=name or self.spec.title)
        self._text_encoder = encoder

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        """Encode a slice (nx, ny, 1), or a chunk of slices of any number, of any size.

        Raises:
            ModelError: there is more than one slice in a window of a 2D model.
            VolumeError: a voxel is not finite.
        """
        if window.array.shape[2] != 1 and not self.deep:
            raise ModelError(
                "{title} looks at one slice at a time, not {value}.", title=self.spec.title, value=window.array.shape[2]
            )
        pictures = self._frame(window.grid).pictures(np.asarray(window.array, dtype=np.float32))
        images = network_images(pictures, self.spec.intensity, self.size).to(self.device)
        with autocast_to(self.precision, self.device):
            embedding = self.network.image_encoder(images).float()
        return Embedding({"image_embedding": embedding}, window.grid)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        """Decode the clicks, boxes and previous logits (w, h, n) of a window.

        All clicks of a chunk are told for each of its slices, or to each its own (`spec.clicks_by_slice`), as in
        training; each slice is told of its own cut through a box. The masks of several boxes, and of several texts, are
        united.

        Raises:
            PromptError: there is neither a click, a box, a text nor a previous mask in the window, or there is a text
                and no text encoder.
        """
        if len(prompts.points) + len(prompts.boxes) + len(prompts.texts) == 0 and prior is None:
            raise PromptError("There is no prompt in this slice; place a foreground click on the target.")
        frame = self._frame(embedding.grid)
        mask = None if prior is None else self._tensor(frame.pictures(prior))[:, None]
        boxes = [self._tensor(network_boxes(box, frame, self.spec.clicks, self.size)) for box in prompts.boxes]
        named: tuple[Tensor | None, ...] = self._text_tokens(prompts.texts) or (None,)
        answers = [self._answer(embedding, prompts, box, mask, text) for box in boxes or (None,) for text in named]
        pictures = torch.stack(answers).amax(dim=0).cpu().numpy()
        # The head that estimates the overlap got no gradient in training: what it says of these masks means nothing.
        return Decoded(frame.window(pictures), None)

    @torch.inference_mode()
    def to_voxels(self, low_res_logits: Float32, shape: tuple[int, int, int]) -> Float32:
        """Low-res logits (w, h, n) to logits (nx, ny, n) on the slices' voxels, bilinearly.

        The official scripts never come back to the image's own voxels; their metrics repeat pixels instead.
        """
        return _resized(low_res_logits, shape[:2])

    @torch.inference_mode()
    def to_low_res(self, logits: Float32) -> Float32:
        """Logits on slices' voxels (nx, ny, n) as low-res logits (w, h, n)."""
        side = 4 * self.network.sizes.grid
        return _resized(logits, (side, side))

    def _frame(self, grid: Grid) -> PictureFrame:
        return PictureFrame.towards_ras(grid) if self.deep else PictureFrame.plain(grid)

    def _text_tokens(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        """The sparse tokens (K, C) of each text."""
        if not texts:
            return ()
        if self._text_encoder is None:
            raise PromptError(
                "Texts need the CLIP that the weights learned them with; give its folder (--text-encoder)."
            )
        tokens: Tensor = self.network.text_projection(self._text_encoder.embed(texts).to(self.device))  # type: ignore[operator]
        return tuple(tokens)

    def _answer(
        self,
        embedding: Embedding,
        prompts: WindowPrompts,
        boxes: Tensor | None,
        mask: Tensor | None,
        text: Tensor | None,
    ) -> Tensor:
        """The logits (n, h, w) of the clicks, one box (n, 4) or none, and a text's tokens (K, C) or none."""
        frame, image = self._frame(embedding.grid), embedding.tensors["image_embedding"]
        if not self.spec.clicks_by_slice:
            return self._masks(image, self._points(prompts, frame), boxes, mask, text)
        own = frame.own_clicks(prompts.points)
        found = [
            self._masks(
                image[n, None],
                self._points(replace(prompts, points=prompts.points[own[n]], labels=prompts.labels[own[n]]), frame),
                None if boxes is None else boxes[n, None],
                None if mask is None else mask[n, None],
                text,
            )
            for n in range(len(image))
        ]
        return torch.cat(found)

    def _points(self, prompts: WindowPrompts, frame: PictureFrame) -> tuple[Tensor, Tensor] | None:
        """Points (1, N, 2) and labels (1, N) as the network is told of them, None without clicks."""
        if len(prompts.points) == 0:
            return None
        places = network_points(prompts.points, frame, self.spec.clicks, self.size)
        return self._tensor(places)[None], torch.from_numpy(prompts.labels)[None].to(self.device)

    def _masks(
        self,
        image: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        mask: Tensor | None,
        text: Tensor | None,
    ) -> Tensor:
        """The logits (n, h, w) of one set of clicks, one box for each slice, and a text."""
        if text is not None and points is None and boxes is None:
            points = _no_point(self.device)
        if points is not None and boxes is not None:
            points = points[0].expand(len(boxes), -1, -1), points[1].expand(len(boxes), -1)
        sparse, dense = self.network.prompt_encoder(points, boxes, mask)
        if text is not None:
            sparse = torch.cat([sparse, text.expand(len(sparse), -1, -1)], dim=1)
        masks, _ = self.network.mask_decoder(image, self._places, sparse=sparse, dense=dense)
        first: Tensor = masks[:, 0]
        return first.float()

    def _tensor(self, array: Float | Float32) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)


def build(
    spec: ModelSpec,
    weights_path: Path,
    device: str,
    *,
    base: Path | None = None,
    precision: str = "auto",
    text_encoder: Path | None = None,
) -> MedicalSamAdapter:
    """Build Medical SAM Adapter from a training checkpoint or a file of adapters, the latter over SAM's file `base`.

    Sizes and generation are read off the file; what it leaves open is put into the spec's cautions. It reads texts
    where the file has learned some, with the `text_encoder` of its training.

    Raises:
        CheckpointError: a file does not fit the network, the base is missing, or the text encoder is another.
        ModelError: there is a text encoder, and the file has learned no texts.
    """
    shape = spec.window.shape
    checkpoint = read_checkpoint(weights_path, base, image_size=shape[0], deep=shape[2] > 1)
    with shapes_only():
        network = adapted_network(checkpoint.sizes, depth=as_many_as_slices if shape[2] > 1 else None)
    load_strict(network, checkpoint.state, name=weights_path.name)
    fold_for_inference(network.image_encoder)
    kinds = spec.prompt_kinds | ({PromptKind.TEXT} if checkpoint.sizes.text else set())
    known = replace(spec, cautions=checkpoint.cautions, prompt_kinds=kinds)
    model = MedicalSamAdapter(known, network, device, precision=precision)
    if text_encoder is not None:
        model.read_texts_with(text_encoder, name=weights_path.name)
    return model


def _no_point(device: str | torch.device) -> tuple[Tensor, Tensor]:
    """What the prompt encoder is told of a set without a click, as in training: (1, 1, 2) and (1, 1)."""
    return torch.zeros(1, 1, 2, device=device), torch.full((1, 1), -1, device=device)


def _resized(logits: Float32, shape: tuple[int, int]) -> Float32:
    """Slices (a, b, n) resized to `shape` bilinearly, averaging where they shrink."""
    slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(logits, 2, 0), dtype=np.float32))[:, None]
    found = F.interpolate(slices, size=shape, mode="bilinear", align_corners=False, antialias=True)
    return np.ascontiguousarray(np.moveaxis(found[:, 0].numpy(), 0, 2))
