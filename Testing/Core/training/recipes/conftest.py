"""Tiny SAMs to adapt, and a function that trains one on two cases and says how well it knows them then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.labeled_sets import write_balls

from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.training.config import TrainConfig
from inference_core.training.run import train
from inference_core.training.run_folder import RunFolder

TINY_SAM = SamSizes(
    image_size=128, patch_size=16, width=48, depth=2, heads=2, window=3, global_blocks=(1,), prompt_width=128,
    mask_channels=4, decoder_hidden=64, quality_hidden=16, upscaled=(32, 16),
)  # fmt: skip


@pytest.fixture(scope="session")
def a_tiny_sam(tmp_path_factory) -> Path:
    """The file of a 2D SAM of toy size, freshly drawn."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sam") / "sam_tiny.pth"
    torch.save(SamNetwork(TINY_SAM).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def two_cases(tmp_path_factory) -> Path:
    return write_balls(tmp_path_factory.mktemp("two") / "balls", cases=("a", "b"))


@pytest.fixture
def trained(tmp_path, two_cases) -> Callable[..., RunFolder]:
    """Train a model on two cases, kept back as well: what it learns is judged on what it has seen."""

    def run(model: str, **settings) -> RunFolder:
        split = tmp_path / "split.json"
        split.write_text('{"balls": {"train": ["a", "b"], "validation": ["a", "b"], "test": []}}')
        given = {
            "data": (two_cases,),
            "workers": 0,
            "validation_samples": 4,
            "validate_every": 1000,
            "save_every": 1000,
            "seed": 1,
        } | settings
        config = TrainConfig(output=tmp_path / f"run_{model}", model=model, split=split, device="cpu", **given)
        begun = time.process_time()
        folder = train(config)
        assert time.process_time() - begun < 120, "two cases are learned within two CPU minutes"
        return folder

    return run
