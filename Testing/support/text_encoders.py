"""A CLIP text encoder of toy size and random weights, in a folder as open_clip's are published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from inference_core.models.blocks.clip_text import TextSizes, TextTower
from inference_core.models.text_encoder import CONFIG, TOKENIZER, WEIGHTS

WORDS = (
    "the",
    "ball",
    "balls",
    "left",
    "right",
    "dim",
    "bright",
    "both",
    "segment",
    "a",
    "scan",
    "of",
    "photo",
    "kidney",
)


def write_text_encoder(folder: Path, *, words: Sequence[str] = WORDS, seed: int = 0, width: int = 16) -> Path:
    """Write one that knows some words by heart; the folder."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {word: number for number, word in enumerate(("<unk>", *words, start, end))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    ids = [(start, vocabulary[start]), (end, vocabulary[end])]
    tokenizer.post_processor = TemplateProcessing(single=f"{start} $A {end}", special_tokens=ids)
    sizes = TextSizes(16, len(vocabulary), 32, 2, 2, 64, width)
    torch.manual_seed(seed)
    tower = TextTower(sizes)
    for name, parameter in tower.named_parameters():
        # Freshly drawn towers read little but the last token: texts would hardly differ.
        parameter.data = 4 * parameter.data if ".attn." in name else parameter.data
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / TOKENIZER))
    text = {"context_length": 16, "vocab_size": len(vocabulary), "width": 32, "heads": 2, "layers": 2, "mlp_ratio": 2.0}
    (folder / CONFIG).write_text(json.dumps({"model_cfg": {"embed_dim": width, "vision_cfg": {}, "text_cfg": text}}))
    others = {"visual.proj": torch.zeros(2, 2), "logit_scale": torch.zeros(())}
    save_file({**tower.state_dict(), **others}, str(folder / WEIGHTS[0]))
    return folder
