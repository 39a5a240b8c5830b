"""Reading MA-SAM's files: what its authors' `save_parameters` writes, over the SAM checkpoint that it adapted.

Everything that the file tells is read off its shapes: backbone, rank, width of the adapters, classes. What it does not
tell: the scale of the factor-tuned parts (1 in all of the authors' scripts), the slices of a stack (5), and the size of
the input, for which half of SAM's own is taken (512 of 1024).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from inference_core.errors import CheckpointError, Remedy
from inference_core.models.blocks.sam_attention import resized_table
from inference_core.models.blocks.sam_image_encoder import resized_positions
from inference_core.models.blocks.sam_sizes import SIZE_ERRORS, count_numbered, read_sizes
from inference_core.models.ma_sam.network import MaSamNetwork, MaSamSizes
from inference_core.models.weights import load_state_dict, load_strict, shapes_only

FACT_SCALE = 1.0
INPUT_SHARE = 2
_UP, _DOWN = "image_encoder.FacTu.weight", "image_encoder.FacTv.weight"
_CORE = "{}_FacTs_{:03d}"
_ADAPTER = r"^image_encoder\.ImageEncoderViT\.blocks\.(\d+)\.Block\.adapter_"
_RENAMES = (
    (_ADAPTER + r"(\w+)_2\.", r"image_encoder.blocks.\1.adapters.1.\2."),
    (_ADAPTER + r"(\w+)\.", r"image_encoder.blocks.\1.adapters.0.\2."),
    (r"(adapters\.\d)\.linear_(up|down)\.", r"\1.\2."),
)
_BACKBONES = {768: ("ViT-B", "sam_vit_b_01ec64.pth"), 1024: ("ViT-L", "sam_vit_l_0b3195.pth"),
              1280: ("ViT-H", "sam_vit_h_4b8939.pth")}  # fmt: skip


_CORNERS = tuple(f"prompt_encoder.point_embeddings.{n}.weight" for n in (2, 3))
_SAME = 1e-3


def load_network(path: Path, base: Path | None, *, boxes: bool = False, most_bytes: int | None = None) -> MaSamNetwork:
    """The network of an MA-SAM file and of the SAM checkpoint under it, on the CPU, ready to infer.

    `boxes` says which of the two forms is wanted: the automatic one, or the one that is told a box.

    Raises:
        CheckpointError: one of the files is absent, damaged, carries code or is of another family; there is no base;
            the two belong to different backbones; or the file is of the other form.
    """
    adapted = load_state_dict(path, most_bytes=most_bytes)
    _check_family(adapted, path)
    if base is None:
        raise CheckpointError(
            "'{name}' holds only what MA-SAM adapted; give SAM's own checkpoint{backbone} too.",
            remedy=Remedy.GIVE_BASE,
            name=path.name,
            backbone=_of_backbone(adapted),
        )
    encoder = _encoder_of(base, adapted, path)
    _check_form(adapted, encoder, path, boxes=boxes)
    state = merged(adapted, encoder, name=path.name)
    sizes = _sizes(state, path)
    with shapes_only():
        network = MaSamNetwork(sizes)
    load_strict(network, state, name=path.name)
    return network.eval()


@torch.no_grad()
def merged(
    adapted: Mapping[str, Tensor], encoder: Mapping[str, Tensor], *, name: str = "The file"
) -> dict[str, Tensor]:
    """One state for `MaSamNetwork`: SAM's encoder at the size of MA-SAM's input, what was adapted laid over it.

    The attention's weights in `encoder` are changed in place, so that a network is never held twice.
    `encoder` holds SAM's own tensors under their official names (`image_encoder.` ...), of which the rest is not used:
    an MA-SAM file brings its own prompt encoder and decoder.

    Raises:
        CheckpointError: a factor-tuned part is missing or of another shape.
    """
    state = {key: value for key, value in adapted.items() if key.startswith(("prompt_encoder.", "mask_decoder."))}
    state |= _resized({key: value for key, value in encoder.items() if key.startswith("image_encoder.")})
    for key, value in adapted.items():
        if re.match(_ADAPTER, key):
            state |= _adapter_part(key, value)
    for index in range(count_numbered(adapted, _CORE.replace("{}", "q", 1))):
        _fold(state, adapted, index, name)
    return state


def _check_family(adapted: Mapping[str, Tensor], path: Path) -> None:
    if not {_UP, _DOWN, _CORE.format("q", 0)} <= set(adapted):
        raise CheckpointError(
            f"'{path.name}' is not of MA-SAM: it has no '{_CORE.format('q', 0)}'; choose a file that MA-SAM's training "
            "has written."
        )


def _check_form(adapted: Mapping[str, Tensor], base: Mapping[str, Tensor], path: Path, *, boxes: bool) -> None:
    """Refuse a file of the other form: shapes are the same, but only training with boxes moves a box's corners.

    Of one class, and over a base without a prompt encoder, a file does not tell its form: it is not taken as automatic.
    """
    corners = [key for key in _CORNERS if key in adapted and key in base and adapted[key].shape == base[key].shape]
    if not corners:
        if not boxes and _classes(adapted) == 1:
            raise CheckpointError(
                "'{name}' does not tell whether it was trained with boxes, for the base lacks SAM's prompt encoder; "
                "take SAM's whole checkpoint{wanted} as the base.",
                name=path.name,
                wanted=_of_backbone(adapted),
            )
        return
    trained = any(float((adapted[key] - base[key]).abs().max()) > _SAME for key in corners)
    if trained and not boxes:
        raise CheckpointError("'{name}' was trained with boxes; choose the model 'ma_sam_box' for it.", name=path.name)
    if boxes and not trained:
        raise CheckpointError(
            "'{name}' was trained without boxes; choose the model 'ma_sam' or 'ma_sam_prostate' for it.",
            name=path.name,
        )


def _classes(adapted: Mapping[str, Tensor]) -> int:
    """How many classes a file tells apart, the background aside; 0 where it has no tokens for them."""
    tokens = adapted.get("mask_decoder.mask_tokens.weight")
    return 0 if tokens is None else len(tokens) - 1


def _encoder_of(base: Path, adapted: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    encoder = load_state_dict(base)
    positions = encoder.get("image_encoder.pos_embed")
    if positions is None or positions.ndim != 4 or "image_encoder.patch_embed.proj.weight" not in encoder:
        raise CheckpointError(
            "'{name}' is no SAM checkpoint; give SAM's own{backbone} instead.",
            remedy=Remedy.GIVE_BASE,
            name=base.name,
            backbone=_of_backbone(adapted),
        )
    given = (positions.shape[3], _depth(encoder))
    wanted = (adapted[_DOWN].shape[0], count_numbered(adapted, _CORE.replace("{}", "q", 1)))
    if given != wanted:
        raise CheckpointError(
            "'{name}' adapts SAM {wanted} but '{base}' is {given}; give the checkpoint{backbone} instead.",
            remedy=Remedy.GIVE_BASE,
            name=path.name,
            wanted=_title(*wanted),
            base=base.name,
            given=_title(*given),
            backbone=_of_backbone(adapted),
        )
    return encoder


def _resized(encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Position tables brought to the smaller input."""
    grid = encoder["image_encoder.pos_embed"].shape[1]
    for key, value in encoder.items():
        encoder[key] = table_for(key, value, grid=grid, wanted=grid // INPUT_SHARE)
    return encoder


def table_for(name: str, value: Tensor, *, grid: int, wanted: int) -> Tensor:
    """A tensor of SAM's for another token grid: position tables are resized, all else and windows' stay as they are."""
    if name == "image_encoder.pos_embed":
        return resized_positions(value, wanted, mode="bilinear")
    whole_grid = name.endswith((".rel_pos_h", ".rel_pos_w")) and len(value) == 2 * grid - 1
    return resized_table(value, 2 * wanted - 1) if whole_grid else value


def _adapter_part(key: str, value: Tensor) -> dict[str, Tensor]:
    """A tensor of an adapter under its names here; the convolution (c, c, 3, 1, 1) becomes three matrices."""
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    place, _, rest = key.rpartition(".conv.")
    if not place:
        return {key: value}
    if rest == "bias":
        return {f"{place}.here.bias": value}
    before, here, after = value.flatten(2).unbind(2)
    return {f"{place}.before": before, f"{place}.here.weight": here, f"{place}.after": after}


def _fold(state: dict[str, Tensor], adapted: Mapping[str, Tensor], index: int, name: str) -> None:
    """Add the factor-tuned parts of queries and values into the projection, in place: W + s V S U, keys as they are."""
    key = f"image_encoder.blocks.{index}.attn.qkv.weight"
    try:
        weight = state[key]
        width = weight.shape[1]
        for first, kind in ((0, "q"), (2 * width, "v")):
            parts = (adapted[_DOWN], adapted[_CORE.format(kind, index)], adapted[_UP])
            v, s, u = (part.double() for part in parts)
            tuned = weight[first : first + width]
            tuned.copy_(tuned.double() + FACT_SCALE * v @ s @ u)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"'{name}' does not fit together in block {index} of its attention; download it again."
        ) from error


def _sizes(state: Mapping[str, Tensor], path: Path) -> MaSamSizes:
    try:
        return MaSamSizes(read_sizes(state), len(state["image_encoder.blocks.0.adapters.0.here.bias"]))
    except SIZE_ERRORS as error:
        raise CheckpointError(f"'{path.name}' lacks parts of MA-SAM's network ({error}); download it again.") from error


def _depth(encoder: Mapping[str, Tensor]) -> int:
    return len({key.split(".")[2] for key in encoder if key.startswith("image_encoder.blocks.")})


def _title(width: int, depth: int) -> str:
    name, _ = _BACKBONES.get(width, ("of another size", ""))
    return f"{name} (width {width}, {depth} blocks)"


def _of_backbone(adapted: Mapping[str, Tensor]) -> str:
    _, file = _BACKBONES.get(adapted[_DOWN].shape[0], ("", ""))
    return f" '{file}'" if file else ""
