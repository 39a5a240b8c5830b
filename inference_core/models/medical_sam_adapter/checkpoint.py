"""Reading Medical SAM Adapter's files: which generation of the official code wrote one, and what it lacks.

That code changed in ways that its weights depend on, told apart by the names in a file (dates of the commits, 2024):

    generation         relative positions      decoder     input
    A  to 2 January    SAM's own (rel_pos_*)   SAM's own   1024
    B  from 3 January  SAM's own (rel_pos_*)   residual    1024; on 28 January any, with the tables of 1024
    C  from 7 January  none                    residual    any
    D  from 29 January its own (rel_*), zero   residual    any

Files of the "Adapter Zoo" are taken to hold the encoder's adapters alone. Tensors that training froze may be missing
and then come from the SAM file under them. The decoder was trained: SAM's own in its place is never put there silently,
and its MLPs are never left as they were drawn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from torch import Tensor

from inference_core.errors import CheckpointError, Remedy
from inference_core.models.blocks.sam_image_encoder import resized_positions
from inference_core.models.medical_sam_adapter.network import AdaptedSizes
from inference_core.models.medical_sam_adapter.sizes import (
    DECODER,
    POSITIONS,
    TABLE,
    adapter_key,
    attention_of,
    image_size_of,
    official_attention,
    sizes_of,
)
from inference_core.models.medical_sam_adapter.text import text_width_of
from inference_core.models.weights import load_state_dict

State = dict[str, Tensor]

_RENAMES = (
    (r"\.attn\.rel_([hw])$", r".attn.rel_pos_\1"),
    (r"\.mlp\.layers\.0\.0\.", ".mlp.lin1."),
    (r"\.mlp\.fc\.", ".mlp.lin2."),
)
# A tensor of each part; a file that has all of them is not laid over another one.
_PARTS = (
    POSITIONS,
    "image_encoder.neck.0.weight",
    "prompt_encoder.no_mask_embed.weight",
    "mask_decoder.iou_token.weight",
)
_SAM_FILES = {768: "sam_vit_b_01ec64.pth", 1024: "sam_vit_l_0b3195.pth", 1280: "sam_vit_h_4b8939.pth"}
_WITHIN_DRAW = 1.001


class Generation(str, Enum):
    """The official code that wrote a file."""

    A = "until 2 January 2024"
    B = "3 to 6 January or 28 January 2024"
    C = "7 to 27 January 2024"
    D = "since 29 January 2024"
    ADAPTERS = "adapters only"


@dataclass(frozen=True, eq=False)
class AdaptedCheckpoint:
    """All tensors of `adapted_network(sizes)` under SAM's names, and what their user should know, a sentence each."""

    state: State
    sizes: AdaptedSizes
    generation: Generation
    cautions: tuple[str, ...]


def read_checkpoint(path: Path, base: Path | None, *, image_size: int, deep: bool) -> AdaptedCheckpoint:
    """Read a training checkpoint or an adapters-only file, the latter over the SAM file `base`.

    `image_size` is taken where neither the tensors nor the end of the file's name ("..._256.pth") tell the size of the
    input. `deep` says whether the branch through depth will be used.

    Raises:
        CheckpointError: a file is damaged, carries code, is of another family or generation, or the base is missing.
    """
    return understood(load_state_dict(path), path, base, image_size=image_size, deep=deep)


def understood(
    own: Mapping[str, Tensor], path: Path, base: Path | None, *, image_size: int, deep: bool
) -> AdaptedCheckpoint:
    """What `read_checkpoint` makes of a file whose tensors were loaded already.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    _check_family(own, path.name)
    generation = generation_of(own, path.name)
    state, under = {_sam_name(key): value for key, value in own.items()}, {}
    if any(part not in state for part in _PARTS):
        under = _base_state(base, own, path.name)
    state = {**_frozen(under, generation), **state}
    attention = attention_of(state) or attention_of(state, under) or official_attention(state)
    size, size_told = image_size_of(
        state, attention, name=path.stem, default=image_size, any_size=generation is Generation.B
    )
    sizes = sizes_of(state, attention, size, name=path.name)
    state[POSITIONS] = resized_positions(state[POSITIONS], sizes.grid, mode="bicubic")
    state = _without_idle_tables(state)
    tables = attention.global_side if any(TABLE.search(key) for key in state) else None
    residual = generation in (Generation.B, Generation.C, Generation.D)
    cautions = [
        *_decoder_cautions(under, generation, path.name),
        *([] if size_told else [_size_caution(path.name, size)]),
        *_depth_cautions(state, path.name, deep=deep),
    ]
    return AdaptedCheckpoint(
        state, AdaptedSizes(sizes, tables, residual, text_width_of(state)), generation, tuple(cautions)
    )


def generation_of(own: Mapping[str, Tensor], name: str = "The file") -> Generation:
    """The generation of a file, by the names its tensors have in it.

    Raises:
        CheckpointError: no official code writes these names together, or the decoder is in pieces.
    """
    decoder = [key for key in own if key.startswith(DECODER)]
    if not decoder:
        return Generation.ADAPTERS
    if not any(".mlp." in key for key in decoder):
        raise CheckpointError(
            f"'{name}' lacks the MLPs of the mask decoder ('mask_decoder.transformer.layers.0.mlp'), and SAM's do not "
            "fit a decoder that was trained on; choose a whole checkpoint."
        )
    residual = any(".mlp.layers.0.0." in key for key in decoder)
    loaded, zero = (any(key.endswith(end) for key in own) for end in (".attn.rel_pos_h", ".attn.rel_h"))
    known = {
        (True, False, False): Generation.A,
        (True, False, True): Generation.B,
        (False, False, True): Generation.C,
        (False, True, True): Generation.D,
    }
    if POSITIONS not in own and not residual:
        # Without the frozen tensors the tables are missing too; they were SAM's own.
        return Generation.A
    if (loaded, zero, residual) not in known:
        raise CheckpointError(
            f"'{name}' mixes the names of different generations of Medical SAM Adapter (relative positions of one, "
            "decoder of another); choose a file as the official training script has written it."
        )
    return known[loaded, zero, residual]


def _check_family(own: Mapping[str, Tensor], name: str) -> None:
    """Refuse what is not a ViT with adapters in its blocks."""
    if adapter_key("MLP", 1) in own:
        return
    if any("lora_" in key for key in own):
        raise CheckpointError(
            f"'{name}' was trained with LoRA in place of adapters, which is not supported; choose one trained with "
            "`-mod sam_adpt`."
        )
    if any("_Adapter.D_fc1" in key for key in own):
        raise CheckpointError(
            f"'{name}' has its adapters in another image encoder than SAM's ViT; choose one trained with `-net sam`."
        )
    raise CheckpointError(
        f"'{name}' is not of Medical SAM Adapter: it has no '{adapter_key('MLP', 1)}'; choose the model it belongs to."
    )


def _sam_name(key: str) -> str:
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _base_state(base: Path | None, own: Mapping[str, Tensor], name: str) -> State:
    width = own[adapter_key("MLP", 1)].shape[-1]
    wanted = f"the SAM checkpoint it was trained on ({_SAM_FILES.get(width, f'of width {width}')})"
    if base is None:
        raise CheckpointError(
            "'{name}' holds only what Medical SAM Adapter trained; give {wanted} too.",
            remedy=Remedy.GIVE_BASE,
            name=name,
            wanted=wanted,
        )
    under = load_state_dict(base)
    if any(part not in under for part in _PARTS):
        raise CheckpointError(
            "'{name}' is no SAM checkpoint; give {wanted} instead.",
            remedy=Remedy.GIVE_BASE,
            name=base.name,
            wanted=wanted,
        )
    if under[POSITIONS].shape[-1] != width:
        raise CheckpointError(
            "'{name}' adapts a SAM of width {width} but '{base}' is {given} wide; give {wanted} instead.",
            remedy=Remedy.GIVE_BASE,
            name=name,
            width=width,
            base=base.name,
            given=under[POSITIONS].shape[-1],
            wanted=wanted,
        )
    return under


def _frozen(under: State, generation: Generation) -> State:
    """What may come from the SAM file: what training froze, and the decoder only where the file has none at all."""
    kept = {key: value for key, value in under.items() if generation is Generation.A or not TABLE.search(key)}
    if generation is Generation.ADAPTERS:
        return kept
    return {key: value for key, value in kept.items() if not key.startswith(DECODER)}


def _without_idle_tables(state: State) -> State:
    """Without the tables of relative positions if all are zero, as generation D leaves them: they add nothing."""
    if any(value.any() for key, value in state.items() if TABLE.search(key)):
        return state
    return {key: value for key, value in state.items() if not TABLE.search(key)}


def _decoder_cautions(under: State, generation: Generation, name: str) -> list[str]:
    if generation is not Generation.ADAPTERS:
        return []
    tensors = [key for key in under if key.startswith(DECODER)]
    return [
        f"'{name}' holds adapters only: the {len(tensors)} tensors of the mask decoder ('{tensors[0]}' to "
        f"'{tensors[-1]}') are SAM's own and not those trained with these adapters, so masks are not the authors'."
    ]


def _size_caution(name: str, size: int) -> str:
    return (
        f"'{name}' does not tell the size of the images it was trained on; {size} pixels are assumed, so if it is "
        "another give the file a name that ends with the size, as in 'name_256.pth'."
    )


def _depth_cautions(state: State, name: str, *, deep: bool) -> list[str]:
    """What the adapters of the branch through depth tell: 2D training leaves them as they were drawn."""
    drawn = all(_as_drawn(state[key]) for key in state if "Depth_Adapter" in key and key.endswith("weight"))
    if deep and drawn:
        return [
            f"'{name}' seems to be of 2D training: the weights of its adapters through depth ('Depth_Adapter') lie in "
            "the range they were drawn from; choose a 2D model of this family for it."
        ]
    if not deep and not drawn:
        return [
            f"'{name}' seems to be of training through depth (`-thd`), for its 'Depth_Adapter' weights have been "
            "trained; choose a 3D model of this family for it."
        ]
    return []


def _as_drawn(weight: Tensor) -> bool:
    """Whether a linear layer's weights lie within the bounds of PyTorch's initial draw, as trained ones do not."""
    if weight.ndim != 2 or not weight.numel():
        return False  # refused where it is loaded
    return float(weight.abs().max()) <= _WITHIN_DRAW / math.sqrt(weight.shape[1])
