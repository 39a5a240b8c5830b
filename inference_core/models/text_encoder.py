"""A frozen CLIP text encoder from a folder of the user's own, as open_clip's are published; nothing is fetched.

The folder holds open_clip_config.json (the sizes), open_clip_model.safetensors or open_clip_pytorch_model.bin, and
tokenizer.json. Only the text tower is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import CheckpointError, ModelError
from inference_core.models.blocks.clip_text import TextSizes, TextTower, text_tensors
from inference_core.models.weights import load_state_dict, load_strict

CONFIG, TOKENIZER = "open_clip_config.json", "tokenizer.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PROBE = "a photo of a kidney"
"""By its embedding a trained projection knows again which encoder it was trained with."""
_USUAL = {
    "hf_model_name": None, "embed_cls": False, "no_causal_mask": False, "pool_type": "argmax", "proj_type": "linear",
    "proj_bias": False, "ls_init_value": None,
}  # fmt: skip


class TextEncoder:
    """Texts to embeddings (n, E) of length 1; always the same for the same text, on the CPU."""

    def __init__(self, tower: TextTower, tokenizer: Any, *, context: int) -> None:
        self._tower, self._tokenizer, self._context = tower.eval().requires_grad_(False), tokenizer, context
        self._known: dict[str, Tensor] = {}

    @property
    def width(self) -> int:
        """E, numbers of an embedding."""
        return int(self._tower.text_projection.shape[1])

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """The embeddings of texts; upper and lower case, and spaces, are the tokenizer's matter."""
        for text in texts:
            if text not in self._known:
                ids = self._tokenizer.encode(text).ids
                kept = [*ids[: self._context - 1], ids[-1]] if len(ids) > self._context else ids
                self._known[text] = F.normalize(self._tower(torch.tensor([kept])), dim=1)[0]
        return torch.stack([self._known[text] for text in texts])


def read_text_encoder(folder: Path) -> TextEncoder:
    """Read the text tower of a CLIP.

    Raises:
        CheckpointError: the folder lacks a file, one is damaged, or the tower is not CLIP's own transformer.
        ModelError: the library that reads tokenizers is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelError("Texts need one more library; run: pip install 'sam3dsegment[text]'.") from error
    missing = [name for name in (CONFIG, TOKENIZER) if not (folder / name).is_file()]
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if missing or weights is None:
        lacked = missing[0] if missing else WEIGHTS[0]
        raise CheckpointError(
            f"'{folder}' lacks '{lacked}'; give the folder of a CLIP as open_clip publishes it, with its "
            f"{CONFIG}, weights and {TOKENIZER}."
        )
    sizes = _sizes(folder / CONFIG)
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:
        raise CheckpointError(f"'{TOKENIZER}' in '{folder}' cannot be read ({error}); fetch it again.") from error
    if len(ids := tokenizer.encode(PROBE).ids) < 2 or max(ids) != ids[-1] or max(ids) >= sizes.vocabulary:
        raise CheckpointError(
            f"'{TOKENIZER}' in '{folder}' does not end texts as CLIP does, or is of another vocabulary; take the one "
            "that was published with the weights."
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tower = TextTower(sizes)
    load_strict(tower, text_tensors(load_state_dict(weights)), name=weights.name)
    return TextEncoder(tower, tokenizer, context=sizes.context)


def _sizes(path: Path) -> TextSizes:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content.get("model_cfg", content)
        text = model["text_cfg"]
        other = next((key for key, usual in _USUAL.items() if text.get(key, usual) not in (usual, None)), None)
        if other is None:
            width = int(text["width"])
            return TextSizes(
                int(text.get("context_length", 77)), int(text.get("vocab_size", 49408)), width, int(text["heads"]),
                int(text["layers"]), int(width * float(text.get("mlp_ratio", 4.0))), int(model["embed_dim"]),
                quick=bool(model.get("quick_gelu", False)),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"'{path.name}' is no configuration of a CLIP; fetch it again.") from error
    raise CheckpointError(
        f"'{path.name}' is of a text encoder that is not CLIP's own transformer ('{other}'); take a CLIP with one."
    )
