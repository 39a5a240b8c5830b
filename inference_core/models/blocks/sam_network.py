"""A 2D SAM put together: the three parts under their official names, each of which an adaptation may vary."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from inference_core.models.blocks.sam_image_encoder import EncoderBlock, ImageEncoder
from inference_core.models.blocks.sam_mask_decoder import MaskDecoder
from inference_core.models.blocks.sam_prompt_encoder import PromptEncoder
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.blocks.two_way import TwoWayBlock


class SamNetwork(nn.Module):
    """Image encoder, prompt encoder and mask decoder of the given sizes."""

    def __init__(
        self,
        sizes: SamSizes,
        *,
        encoder_block: Callable[[SamSizes, int], nn.Module] = EncoderBlock,
        decoder_block: type[TwoWayBlock] = TwoWayBlock,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.image_encoder = ImageEncoder(sizes, encoder_block)
        self.prompt_encoder = PromptEncoder(sizes)
        self.mask_decoder = MaskDecoder(sizes, block=decoder_block)
