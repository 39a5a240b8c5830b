"""Weights for 3DSAM-adapter: the authors' checkpoints, the same tensors as a flat file, and a start from 2D SAM.

An official checkpoint (`last.pth.tar`, `best.pth.tar`) keeps the encoder, the decoder and four prompt encoders apart,
beside the state of the training. Three of the prompt encoders, and two parts of the fourth, were never used by any
forward pass; they are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_core.errors import CheckpointError
from inference_core.models import weights_content
from inference_core.models.blocks.sam_sizes import SIZE_ERRORS, count_numbered, read_sizes
from inference_core.models.blocks.two_way import ProjectedAttention
from inference_core.models.sam3d_adapter.network import PromptEncoder, Sam3DAdapterConfig, Sam3DAdapterNetwork
from inference_core.models.sam3d_adapter.shifted_cube_attention import is_shifted_mask, packed_bits, shifted_mask
from inference_core.models.weights import load_content, load_state_dict, load_strict, shapes_only

_PROMPT_ENCODERS = 4
_UNUSED = re.compile(
    r"feature_dict\.([012]\.|3\.(positional_encoding_gaussian_matrix$|transformer\.layers\.\d+\.cross_attn_token_to_image))"
)
_TELLING = re.compile(r"\.norm\d\.")
_MASK = re.compile(r"encoder_dict\.blocks\.\d+\.attn_mask$")
_OURS = (
    (r"^encoder_dict\.", "encoder."),
    (r"^decoder_dict\.", "decoder."),
    (r"^feature_dict\.3\.", "prompt_encoder."),
)
_BLOCKED = -100.0
_TUNED = re.compile(
    r"encoder\.(depth_embed|slice_embed|neck_3d|blocks\.\d+\.(norm|adapter|attn\.rel_pos_d))|prompt_encoder|decoder"
)


def network_from(path: Path) -> Sam3DAdapterNetwork:
    """The network with the weights of an official checkpoint, or of a flat file with the same names and tensors.

    Raises:
        CheckpointError: the file is absent, damaged, carries code, or is of another model or of the automatic variant.
    """
    return network_of(state_from(path), name=path.name)


def state_from(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint under flat names, `encoder_dict.*`, `feature_dict.N.*` and `decoder_dict.*`.

    Of the masks of shifted blocks, which are large and mostly alike, bits are kept of where they are not zero, once; of
    what no forward pass uses, the norms, which tell how a file was trained, and of the rest a single value.

    Raises:
        CheckpointError: the file is absent, damaged, carries code, or is of the automatic variant.
    """
    state = _flat(load_content(path), path.name)
    if state is None:
        state = load_state_dict(path, instead=_less_of_it())
    else:
        state = weights_content.sound(state, path, instead=_less_of_it())
    if any(key.startswith("encoder_dict.") for key in state) and not any(key.startswith("feature_") for key in state):
        raise CheckpointError(
            f"'{path.name}' is of 3DSAM-adapter's automatic variant, which takes no clicks; "
            "choose the checkpoint that was trained with prompts."
        )
    return state


def network_of(state: Mapping[str, Tensor], *, name: str) -> Sam3DAdapterNetwork:
    """The network with the weights of a flat state; `name` is what errors call its file.

    Raises:
        CheckpointError: the state is of another model.
    """
    config = config_of(state)
    _check_masks(state, config, name)
    with shapes_only():
        network = Sam3DAdapterNetwork(config)
    used = {key: value for key, value in state.items() if not _UNUSED.match(key) and not _MASK.match(key)}
    load_strict(network, used, renames=_OURS, name=name)
    return network


def config_of(state: Mapping[str, Tensor]) -> Sam3DAdapterConfig:
    """Read the sizes off a flat file's shapes; the official sizes where it does not look like this family.

    Two sizes leave no trace in it, the cubes' side and the prompt encoder's heads: they are the official ones, less
    where a small network has no room for them.
    """
    try:
        return _read_config(state)
    except (KeyError, IndexError, ZeroDivisionError):
        # Loading names what is missing: strictly, and in terms of the official file.
        return Sam3DAdapterConfig()


def start_from_sam(state: Mapping[str, Tensor], config: Sam3DAdapterConfig | None = None) -> Sam3DAdapterNetwork:
    """A network to train: the image encoder of a 2D SAM ViT-B where it fits, all else freshly drawn (spec. 5.2).

    `state` is a SAM checkpoint's; its neck, prompt encoder and mask decoder are not used. Relative positions through
    depth start as the mean of the two in the plane.

    Raises:
        CheckpointError: the state is not that of a SAM image encoder of this size.
    """
    network = Sam3DAdapterNetwork(config or Sam3DAdapterConfig())
    begin_with_sam(network, state)
    return network


def config_for_sam(state: Mapping[str, Tensor]) -> Sam3DAdapterConfig:
    """The sizes of a network that begins with a SAM checkpoint: the official ones for ViT-B, less for a small SAM.

    Raises:
        CheckpointError: the state is not that of a SAM.
    """
    official = Sam3DAdapterConfig()
    try:
        sam = read_sizes(state)
    except SIZE_ERRORS as error:
        raise CheckpointError(
            "The weights to start from are not those of a SAM ViT-B; choose sam_vit_b_01ec64.pth."
        ) from error
    grid, out = sam.grid // 2, sam.prompt_width
    return Sam3DAdapterConfig(
        grid=grid,
        width=sam.width,
        depth=sam.depth,
        heads=sam.heads,
        cube=min(official.cube, grid // 2),
        patch=sam.patch_size,
        rows=tuple(len(state[f"image_encoder.blocks.{n}.attn.rel_pos_h"]) for n in range(sam.depth)),
        out=out,
        prompt_heads=min(official.prompt_heads, out // 4),
        prompt_hidden=8 * out,
        head=out // 2,
    )


def official_content(weights: Mapping[str, Tensor], config: Sam3DAdapterConfig) -> dict[str, Any]:
    """What the authors' training script saves, of a `Sam3DAdapterNetwork`'s weights; their strict loader takes it.

    That asks for tensors that mean nothing: the masks of shifted blocks, three prompt encoders that no forward pass
    used, and two parts of the fourth. Those are drawn as the authors' are, the same ones each time. Their optimizers'
    state is left empty: which parameters are in it, and in what order, is not known; the run's own is kept elsewhere.
    """
    parts = {name: _of_part(weights, name) for name in ("encoder", "decoder", "prompt_encoder")}
    # One tensor for all blocks, which a file then holds once.
    mask = _BLOCKED * shifted_mask(config.grid, config.cube).float()
    masks = {f"blocks.{n}.attn_mask": mask for n in range(0, config.depth, 2)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unused = [{**_unused(config), **_cloned(PromptEncoder(config).state_dict())} for _ in range(3)]
        used = {**_unused(config), **parts["prompt_encoder"]}
    return {
        "epoch": 0, "best_val_loss": 0.0, "encoder_dict": {**parts["encoder"], **masks},
        "feature_dict": [*unused, used],
        "decoder_dict": parts["decoder"], "encoder_opt": {}, "feature_opt": {}, "decoder_opt": {},
    }  # fmt: skip


def begin_with_sam(network: Sam3DAdapterNetwork, state: Mapping[str, Tensor]) -> None:
    """Put a 2D SAM's image encoder into a network in place, as `start_from_sam` does, and leave all else as it is."""
    own = network.encoder.state_dict()
    prefix = "image_encoder."
    given = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    given = {key: value for key, value in given.items() if not key.startswith("neck.")}
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not given or len(fitting) != len(given):
        wrong = next((key for key in given if key not in fitting), "image_encoder.pos_embed")
        raise CheckpointError(
            f"The weights to start from are not those of a SAM ViT-B ('{wrong}' is missing or of another size); "
            "choose sam_vit_b_01ec64.pth."
        )
    for n in range(network.config.depth):
        h, w = (fitting[f"blocks.{n}.attn.rel_pos_{axis}"] for axis in "hw")
        fitting[f"blocks.{n}.attn.rel_pos_d"] = 0.5 * (h + w)
    network.encoder.load_state_dict({**own, **fitting})


def freeze_as_published(network: Sam3DAdapterNetwork) -> None:
    """Let gradients reach only what the authors tuned: 159 of the encoder's 294 tensors, and all of the other parts."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_TUNED.match(name) is not None)


def _of_part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return _cloned({key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)})


def _unused(config: Sam3DAdapterConfig) -> dict[str, Tensor]:
    """Freshly drawn, what a prompt encoder's file has and no forward pass reads."""
    dead = {"positional_encoding_gaussian_matrix": torch.randn(3, config.out // 2)}
    for n in range(config.prompt_depth):
        attention = ProjectedAttention(config.out, config.out // 2, config.prompt_heads)
        place = f"transformer.layers.{n}.cross_attn_token_to_image"
        dead |= {f"{place}.{key}": value for key, value in _cloned(attention.state_dict()).items()}
    return dead


def _cloned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}


def _flat(content: Any, name: str) -> dict[str, Tensor] | None:
    """The tensors of an official checkpoint under flat names, or None where it is something else.

    Raises:
        CheckpointError: it holds another number of prompt encoders.
    """
    if not isinstance(content, dict) or "encoder_dict" not in content:
        return None
    parts = {part: content.get(part) for part in ("encoder_dict", "decoder_dict")}
    prompts = content.get("feature_dict")
    prompts = prompts if isinstance(prompts, (list, tuple)) else []
    if len(prompts) not in (0, _PROMPT_ENCODERS):
        raise CheckpointError(
            f"'{name}' holds {len(prompts)} prompt encoders instead of {_PROMPT_ENCODERS}; "
            "choose a checkpoint of 3DSAM-adapter."
        )
    parts |= {f"feature_dict.{n}": part for n, part in enumerate(prompts)}
    found = {part: weights_content.found_in(tensors) for part, tensors in parts.items()}
    return {f"{part}.{key}": value for part, tensors in found.items() for key, value in tensors.items()}


def _less_of_it() -> weights_content.Instead:
    """Makes of a shifted block's mask the bits where it is not zero, the same tensor of those that are alike, and one
    value of what is never used.
    """
    kept: list[Tensor] = []

    def less(key: str, value: Tensor, take: weights_content.Take) -> Tensor | None:
        if _UNUSED.match(key) and not _TELLING.search(key):
            return take(value.reshape(-1)[:1])
        if not _MASK.match(key) or value.ndim == 0:
            return None
        # A cube at a time into room made before: as a whole a mask takes a seventh of what the network does, and what
        # is kept between cubes would lie in the room that they leave, so that each needs new.
        found = torch.empty((*value.shape[:-1], -(-value.shape[-1] // 8)), dtype=torch.uint8)
        for n in range(len(value)):
            found[n] = packed_bits(take(value[n]) != 0)
        alike = next((mask for mask in kept if torch.equal(mask, found)), None)
        kept.append(found if alike is None else alike)
        return kept[-1]

    return less


def _check_masks(state: Mapping[str, Tensor], config: Sam3DAdapterConfig, name: str) -> None:
    """Official files keep the constant that shifted blocks add; here it is built into where the cubes are cut."""
    for key in (key for key in state if _MASK.match(key)):
        if not is_shifted_mask(state[key], config.grid, config.cube):
            raise CheckpointError(
                f"'{name}' lets other tokens see each other than 3DSAM-adapter does ('{key}'); "
                "choose a checkpoint of the published network."
            )


def _read_config(state: Mapping[str, Tensor]) -> Sam3DAdapterConfig:
    positions = state["encoder_dict.pos_embed"].shape
    depth = count_numbered(state, "encoder_dict.blocks.{}.norm1.weight")
    tables = [state[f"encoder_dict.blocks.{n}.attn.rel_pos_h"].shape for n in range(depth)]
    query = state["feature_dict.3.transformer.layers.0.global_query"].shape
    grid, width = positions[1] // 2, positions[3]
    return Sam3DAdapterConfig(
        grid=grid,
        width=width,
        depth=depth,
        heads=width // tables[0][1],
        cube=min(Sam3DAdapterConfig.cube, grid // 2),
        patch=state["encoder_dict.patch_embed.proj.weight"].shape[-1],
        slices=state["encoder_dict.slice_embed.weight"].shape[-1],
        rows=tuple(rows for rows, _ in tables),
        out=query[2],
        prompt_depth=count_numbered(state, "feature_dict.3.transformer.layers.{}.global_query"),
        prompt_heads=min(Sam3DAdapterConfig.prompt_heads, query[2] // 4),
        prompt_hidden=state["feature_dict.3.transformer.layers.0.mlp.lin1.weight"].shape[0],
        queries=query[1],
        head=state["decoder_dict.cls.3.weight"].shape[1],
    )
