"""The network of SAM3D lite: an image encoder that runs once a window, and a decoder that runs for every prompt.

The encoder (a convolutional pyramid with a transformer at the bottom) sees the image alone. The decoder sees maps of
the prompts, drawn at half the window's resolution, beside the encoder's features. Evidence that a small network would
spend depth on is given to it outright: how alike each voxel is to the clicked ones, in intensity and in learned
features.

Legend: B batch, N clicks, C channels, D H W window voxels, d h w half of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.conv3d import (
    DoublingConv3d,
    PlainConv3d,
    ResidualBlock,
    ScaledConv3d,
    TransformerBlock,
    depth_to_space,
    space_to_depth,
)
from inference_core.models.sam3d_lite.prompt_maps import (
    PROMPT_CHANNELS,
    DensePrompts,
    prompt_maps,
    similarity_to_clicks,
)
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS

IMAGE_CHANNELS = 2


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network; the defaults are the published weights'."""

    fine: int = 24
    middle: int = 64
    coarse: int = 160
    depth: int = 4
    heads: int = 5
    match: int = 16
    detail: int = 32


class ImageEncoder(nn.Module):
    """(B, 2, D, H, W) to features `fine` at 1/2 and `middle` at 1/4 (it has the context of 1/8), and match keys."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.fine, config.middle, config.coarse
        self.stem = ScaledConv3d(8 * IMAGE_CHANNELS, fine, 3)
        self.fine = ResidualBlock(fine)
        self.to_middle = ScaledConv3d(fine, middle, 2, stride=2)
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.to_coarse = ScaledConv3d(middle, coarse, 2, stride=2)
        self.place = PlainConv3d(coarse, coarse, 3, padding=1, groups=coarse)
        self.context = nn.Sequential(*[TransformerBlock(coarse, config.heads) for _ in range(config.depth)])
        self.from_coarse = PlainConv3d(coarse, middle, 1)
        self.fuse = ResidualBlock(middle)
        self.fine_key = PlainConv3d(fine, config.match // 2, 1)
        self.middle_key = PlainConv3d(middle, config.match, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.from_stem(self.stemmed(image))

    def stemmed(self, image: Tensor) -> Tensor:
        """The first stage's map (B, fine, d, h, w) of an image, before it meets its surroundings."""
        return F.silu(self.stem(space_to_depth(image)))

    def from_stem(self, stemmed: Tensor) -> dict[str, Tensor]:
        """All features, from the first stage's map on."""
        fine = self.fine(stemmed)
        middle = self.middle(F.silu(self.to_middle(fine)))
        coarse = self.to_coarse(middle)
        coarse = coarse + self.place(coarse)
        tokens = self.context(coarse.flatten(2).transpose(1, 2))
        coarse = tokens.transpose(1, 2).reshape(coarse.shape)
        context = F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="trilinear")
        middle = self.fuse(middle + context)
        return {
            "fine": fine,
            "middle": middle,
            "fine_key": F.normalize(self.fine_key(fine), dim=1),
            "middle_key": F.normalize(self.middle_key(middle), dim=1),
        }


class MaskDecoder(nn.Module):
    """Features and prompt maps to logits (B, 1, D, H, W) and a quality logit (B,), the predicted IoU."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        fine, middle = config.fine, config.middle
        self.prompt = ScaledConv3d(PROMPT_CHANNELS + 2 + STROKE_CHANNELS, fine, 3)
        self.prompt_down = ScaledConv3d(fine, middle, 2, stride=2)
        self.match = PlainConv3d(2, middle, 1)
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.summary = nn.Linear(middle, middle)
        self.up = DoublingConv3d(middle, fine)
        self.fine = ResidualBlock(fine)
        self.detail = ScaledConv3d(fine + 8 * IMAGE_CHANNELS, config.detail, 3)
        self.head = PlainConv3d(config.detail, 8, 1)
        self.quality = nn.Sequential(nn.Linear(2 * middle + 2, middle), nn.SiLU(), nn.Linear(middle, 1))

    def forward(self, features: dict[str, Tensor], image: Tensor, prompts: DensePrompts) -> tuple[Tensor, Tensor]:
        fine_match = similarity_to_clicks(features["fine_key"], prompts, stride=2)
        middle_match = similarity_to_clicks(features["middle_key"], prompts, stride=4)
        maps = prompt_maps(image, prompts)
        strokes = prompts.strokes
        if strokes is None:
            strokes = maps.new_zeros(len(maps), STROKE_CHANNELS, *maps.shape[2:])
        drawn = F.silu(self.prompt(torch.cat([maps, fine_match, strokes], dim=1)))
        middle = features["middle"] + F.silu(self.prompt_down(drawn)) + self.match(middle_match)
        middle = self.middle(middle)
        middle = middle + self.summary(middle.mean(dim=(2, 3, 4)))[:, :, None, None, None]
        fine = self.fine(self.up(middle) + features["fine"] + drawn)
        detail = F.silu(self.detail(torch.cat([fine, space_to_depth(image)], dim=1)))
        logits = depth_to_space(self.head(detail))
        return logits, self._quality(middle, logits)

    def _quality(self, middle: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            inside = torch.sigmoid(F.avg_pool3d(logits, 4))
            share = inside.mean(dim=(2, 3, 4))
            doubt = (1 - (2 * inside - 1).abs()).mean(dim=(2, 3, 4)) / (share + 1e-3)
        within = (middle * inside).mean(dim=(2, 3, 4)) / (share + 1e-3)
        quality: Tensor = self.quality(torch.cat([within, middle.mean(dim=(2, 3, 4)), share, doubt], dim=1))
        return quality[:, 0]


class LiteNetwork(nn.Module):
    """Encoder and decoder; `forward` is used in training only."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.decoder = MaskDecoder(config)

    def forward(self, image: Tensor, prompts: DensePrompts) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.decoder(self.encoder(image), image, prompts)
        return answer
