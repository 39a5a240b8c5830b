"""Scenes for tests: grids as scanners make them, balls drawn on them, and a model that needs no weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations, product

import numpy as np
import torch

from inference_core.geometry.grid import Grid
from inference_core.models.interface import Decoded, Embedding, WindowImage
from inference_core.models.spec import Checkpoint, IntensityRule, ModelSpec, Padding, PromptKind, WindowSpec

SPEC = ModelSpec(
    name="brightness",
    title="Brightness",
    builder="none:none",
    window=WindowSpec((32, 32, 32), (1.0, 2.0, 4.0), Padding.REFLECT, any_spacing=True),
    intensity=IntensityRule.LOCAL_AND_GLOBAL,
    prompt_kinds=frozenset(PromptKind) - {PromptKind.NONE},
    checkpoint=Checkpoint(url=None, filename="none"),
    license="none",
    paper="none",
)


@dataclass
class BrightnessModel:
    """Believes that every voxel brighter than a half is the target, whatever the prompts; counts its work.

    `bias` shifts every logit.
    """

    spec: ModelSpec = SPEC
    device: str = "cpu"
    bias: float = 0.0
    encoded: list[Grid] = field(default_factory=list)
    decoded: int = 0

    def encode(self, window: WindowImage) -> Embedding:
        self.encoded.append(window.grid)
        return Embedding({"image": torch.from_numpy(window.array)}, window.grid)

    def decode(self, embedding, prompts, prior) -> Decoded:
        self.decoded += 1
        logits = 8 * (embedding.tensors["image"].numpy() - 0.5) + self.bias
        # Finer windows are trusted more, as long as something is in them.
        return Decoded(logits.astype(np.float32), quality=0.9 / (1 + 0.01 * embedding.grid.spacing[0]))


ORIENTATIONS = [
    np.eye(3)[:, list(order)] * np.array(signs)
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
SPACINGS = [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (1.7, 0.9, 1.2)]


def oblique_grid(orientation: int, spacing: int, *, degrees=(12.0, -7.0, 25.0), size_mm=70.0) -> Grid:
    """A grid about `size_mm` wide: one of 48 axis orders and signs, one of three spacings, then turned."""
    steps = np.array(SPACINGS[spacing])
    directions = turn(degrees) @ ORIENTATIONS[orientation]
    shape = tuple(int(np.ceil(size_mm / step)) for step in steps)
    affine = np.eye(4)
    affine[:3, :3] = directions * steps
    affine[:3, 3] = (31.0, -47.0, 113.0)
    return Grid(shape, affine)


def turn(degrees) -> np.ndarray:
    """A rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    return matrix


def spheres(grid: Grid, balls, *, soft_mm: float = 1.0) -> np.ndarray:
    """Brightness of balls (center_ras, radius_mm) on a grid, 0.5 exactly on their surfaces."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    ras = grid.to_ras(ijk)
    depth = np.max([radius - np.linalg.norm(ras - center, axis=-1) for center, radius in balls], axis=0)
    return np.clip(0.5 + depth / (2 * soft_mm), 0, 1).astype(np.float32)
