"""Pre-training of an image encoder on unlabeled volumes: what `pretext` asks, of SAM's encoder and of SAM3D lite's.

The file it leaves is a whole one of its model, in which the encoder is another: training begins with it.

Legend: N images, P patches, C channels of a patch's embedding, D those of the encoder's output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.errors import OptionError
from inference_core.geometry.sampling import sample_window
from inference_core.geometry.slices import slices_last
from inference_core.geometry.volume import Volume
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import read_sizes
from inference_core.models.blocks.slice_preprocess import eight_bit, resized
from inference_core.models.sam3d_lite.model import normalize
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.store import weights_of
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.checkpoint import save_content, save_weights
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case
from inference_core.training.labeled import SPACING_RANGE_MM, random_window
from inference_core.training.pools import Pool, draw_case
from inference_core.training.pretext import (
    embedding_mixup,
    masked_reconstruction,
    masks,
    mixing_shares,
    shuffled,
    shuffled_prediction,
)
from inference_core.training.recent import Recent
from inference_core.training.recipe import Batch, Draws, Group, Plan, SampleSource, Stage, Step, warm_cosine

Draw = Callable[[Volume, np.random.Generator], np.ndarray]
"""Cuts an image from a volume."""

OBJECTIVES = ("mae", "emix", "shed")
PLAN = Plan(
    learning_rate=1e-4, weight_decay=0.05, epochs=100, batch=4, schedule=warm_cosine,
    groups=(Group("", clip=1.0),),
)  # fmt: skip
_MASKED, _SHUFFLED = 0.6, 0.15
_CUBE = 8
_LITE_SIZE = 48
_KEPT = 16


class View(Protocol):
    """An encoder as pre-training sees it: patches embedded each by itself, and then encoded together."""

    channels: int
    features: int
    voxels: int

    @property
    def network(self) -> nn.Module:
        """The whole model."""
        ...

    def patches(self, image: Tensor) -> Tensor:
        """The image's own voxels (N, P, V)."""
        ...

    def embed(self, image: Tensor) -> Tensor:
        """(N, P, C)."""
        ...

    def encode(self, embedded: Tensor) -> Tensor:
        """(N, P, C) to (N, P, D)."""
        ...


class SamView:
    """SAM's image encoder; images are (N, S, S) in 0..1."""

    def __init__(self, network: SamNetwork) -> None:
        sizes = network.sizes
        self.network, self.grid, self.side = network, sizes.grid, sizes.patch_size
        self.channels, self.features, self.voxels = sizes.width, sizes.prompt_width, sizes.patch_size**2

    def patches(self, image: Tensor) -> Tensor:
        """Squares of pixels."""
        return F.unfold(image[:, None], self.side, stride=self.side).transpose(1, 2)

    def embed(self, image: Tensor) -> Tensor:
        """By SAM's patch embedding."""
        tokens: Tensor = self.network.image_encoder.patch_embed(image[:, None].expand(-1, 3, -1, -1))
        return tokens.flatten(1, 2)

    def encode(self, embedded: Tensor) -> Tensor:
        """By all of SAM's blocks and its neck."""
        features: Tensor = self.network.image_encoder.from_tokens(embedded.unflatten(1, (self.grid, self.grid)))
        return features.flatten(2).transpose(1, 2)


class LiteView:
    """SAM3D lite's encoder; images are (N, S, S, S), patches cubes of eight voxels."""

    def __init__(self, network: LiteNetwork, size: int = _LITE_SIZE) -> None:
        self.network, self.grid = network, size // _CUBE
        self.inner = _CUBE // 2
        self.channels = network.config.fine * self.inner**3
        self.features, self.voxels = network.config.middle, _CUBE**3

    def patches(self, image: Tensor) -> Tensor:
        """Cubes of voxels."""
        return _cubes(image[:, None], self.grid, _CUBE)

    def embed(self, image: Tensor) -> Tensor:
        """By the first stage, as far as it lies in each cube."""
        return _cubes(self.network.encoder.stemmed(normalize(image)), self.grid, self.inner)

    def encode(self, embedded: Tensor) -> Tensor:
        """By all that follows, averaged over each cube."""
        grid, inner = self.grid, self.inner
        maps = embedded.unflatten(2, (-1, inner, inner, inner)).unflatten(1, (grid, grid, grid))
        whole = maps.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        middle = self.network.encoder.from_stem(whole.contiguous())["middle"]
        return F.adaptive_avg_pool3d(middle, grid).flatten(2).transpose(1, 2)


class PretrainRecipe:
    """The objectives asked for, alone or together; images are cut from any volume, labeled or not."""

    plan = PLAN

    def __init__(self, config: TrainConfig, view: View, draw: Draw, *, objectives: Sequence[str]) -> None:
        self.config, self.view, self.draw = config, view, draw
        self.objectives = checked(objectives)
        self.network = nn.ModuleDict(
            {
                "model": view.network,
                "pixels": nn.Linear(view.features, view.voxels),
                "moved": nn.Linear(view.features, 1),
                "projection": nn.Linear(view.features, 64),
            }
        )
        self.masked = nn.Parameter(torch.zeros(view.channels))
        self.network.register_parameter("masked", self.masked)

    def stages(self, pools: Sequence[Pool], *, batch: int) -> Sequence[Stage]:
        """Images at random, several at once: a mixture needs more than one."""
        return [Stage(1.0, UnlabeledImages(pools, self.draw, seed=self.config.seed), max(2, batch))]

    def validation(self, pools: Sequence[Pool]) -> SampleSource:
        """The same kind of images."""
        return UnlabeledImages(pools, self.draw, seed=self.config.seed + 1)

    def step(self, batch: Batch, draws: Draws) -> Step:
        """The sum of the objectives' losses; as a score, which is better when higher, 1 / (1 + loss)."""
        image = batch["image"]
        if len(image) == 1:  # to be judged: a mixture needs another one
            image = torch.cat([image, image.flip(-1)])
        rng = torch.Generator().manual_seed(int(draws.shared.integers(2**31)))
        embedded = self.view.embed(image)
        made: dict[str, Callable[[], Tensor]] = {
            "mae": lambda: self._masked(image, embedded, rng),
            "emix": lambda: self._mixed(embedded, mixing_shares(len(image), draws.shared)),
            "shed": lambda: self._shuffled(embedded, rng),
        }
        loss = torch.stack([made[name]() for name in self.objectives]).sum()
        return Step(loss, (1 / (1 + float(loss.detach())),), torch.zeros_like(image))

    def save(self, path: Path, weights: Mapping[str, Tensor], *, optimizer: Mapping[str, Any] | None = None) -> None:
        """Write the model's own file, without what only pre-training needs."""
        model = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
        if path.suffix == ".safetensors":
            save_weights(path, model)
            return
        save_content(path, model)

    def _masked(self, image: Tensor, embedded: Tensor, rng: torch.Generator) -> Tensor:
        hidden = masks((embedded.shape[0], embedded.shape[1]), _MASKED, rng).to(image.device)
        seen = torch.where(hidden[..., None], self.masked.to(embedded), embedded)
        predicted = self.network["pixels"](self.view.encode(seen))
        return masked_reconstruction(predicted, self.view.patches(image), hidden)

    def _mixed(self, embedded: Tensor, shares: Tensor) -> Tensor:
        shares = shares.to(embedded)
        mixed = torch.einsum("mn,npc->mpc", shares, embedded)
        found = [self.network["projection"](self.view.encode(part).mean(dim=1)) for part in (mixed, embedded)]
        return embedding_mixup(found[0], found[1], shares)

    def _shuffled(self, embedded: Tensor, rng: torch.Generator) -> Tensor:
        changed, moved = shuffled(embedded, _SHUFFLED, rng)
        return shuffled_prediction(self.network["moved"](self.view.encode(changed))[..., 0], moved)


class UnlabeledImages:
    """Sample n: an image of a random case, cut at random."""

    def __init__(self, pools: Sequence[Pool], draw: Draw, *, seed: int) -> None:
        self.pools, self.draw, self.seed = pools, draw, seed
        self._recent = Recent(Case.read, count=_KEPT)

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, number])
        volume = self._recent.of(draw_case(self.pools, rng))
        image = torch.from_numpy(np.ascontiguousarray(self.draw(volume, rng)))
        return {"image": image, "target": torch.zeros(image.shape), "number": number}


def build(config: TrainConfig) -> PretrainRecipe:
    """The recipe for `config.model`: SAM3D lite, or a SAM that `config.start_from` holds.

    Raises:
        OptionError: the model has no encoder of these kinds, or there is no such objective.
        CheckpointError: the weights to start from are of another model.
    """
    path = None if config.start_from is None else weights_of(config.start_from)
    state = None if path is None else load_state_dict(path)
    if config.model == "sam3d_lite":
        lite = LiteNetwork(LiteConfig())
        if path is not None and state is not None:
            load_strict(lite, widened(state, STROKE_CHANNELS), name=path.name)
        return PretrainRecipe(config, LiteView(lite), _window, objectives=config.pretrain)
    if path is None or state is None or config.model not in ("sam", "sam_vit_l", "sam_vit_h"):
        raise OptionError("Pre-training is of 'sam3d_lite', or of a SAM: --model sam --start-from its checkpoint.")
    sam = SamNetwork(read_sizes(state))
    load_strict(sam, state, name=path.name)
    size = sam.sizes.image_size
    return PretrainRecipe(config, SamView(sam), partial(_slice, size=size), objectives=config.pretrain)


def checked(objectives: Sequence[str]) -> tuple[str, ...]:
    """The objectives, at least one.

    Raises:
        OptionError: there is none, or one is unknown.
    """
    unknown = [name for name in objectives if name not in OBJECTIVES]
    if unknown or not objectives:
        raise OptionError(f"Choose from the objectives {', '.join(OBJECTIVES)}; {unknown or 'none'} was given.")
    return tuple(objectives)


def _window(volume: Volume, rng: np.random.Generator) -> np.ndarray:
    """A cube (S, S, S) of any place, scale and orientation."""
    center = volume.grid.to_ras(rng.uniform(0.2, 0.8, 3) * np.asarray(volume.grid.shape))
    spacing = float(np.exp(rng.uniform(*np.log(SPACING_RANGE_MM))))
    return sample_window(volume, random_window(rng, center, size=_LITE_SIZE, spacing=spacing), reflect=True)


def _slice(volume: Volume, rng: np.random.Generator, *, size: int) -> np.ndarray:
    """A slice (S, S) in 0..1."""
    stack = slices_last(volume).array
    picture = eight_bit(stack[:, :, int(rng.integers(stack.shape[2]))])
    return resized(picture, (size, size)).astype(np.float32) / np.float32(255)


def _cubes(maps: Tensor, grid: int, side: int) -> Tensor:
    """(N, C, g s, g s, g s) to (N, g g g, C s s s)."""
    parts = maps.unflatten(4, (grid, side)).unflatten(3, (grid, side)).unflatten(2, (grid, side))
    return parts.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)
