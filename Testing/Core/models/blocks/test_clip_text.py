"""CLIP's text tower against open_clip's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference_core.models.blocks.clip_text import TextSizes, TextTower, text_tensors

GOLDEN = Path(__file__).parents[3] / "Data" / "clip_text" / "tower.npz"


@pytest.fixture(scope="module")
def the_golden():
    return dict(np.load(GOLDEN))


@pytest.mark.parametrize("quick", [False, True])
def test_the_embeddings_are_open_clips(the_golden, quick) -> None:
    tower = TextTower(TextSizes(12, 40, 16, 2, 2, 64, 8, quick=quick)).eval()
    state = {key.removeprefix("state."): torch.from_numpy(value) for key, value in the_golden.items() if "." in key}
    tower.load_state_dict(text_tensors({f"text.{key}": value for key, value in state.items()}))

    found = tower(torch.from_numpy(the_golden["ids"])).detach().numpy()

    wanted, other = (the_golden[f"embedding_{name}"] for name in (("quick", "gelu") if quick else ("gelu", "quick")))
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(found - other).max() > 1e-3


def test_what_follows_the_last_token_does_not_matter(the_golden) -> None:
    tower = TextTower(TextSizes(12, 40, 16, 2, 2, 64, 8)).eval()
    ids = torch.from_numpy(the_golden["ids"])[:1]
    assert torch.allclose(tower(ids), tower(ids[:, :5]), atol=1e-6)


def test_of_a_whole_clip_the_text_towers_tensors_are_taken() -> None:
    some = torch.zeros(1)
    state = {"visual.ln_final.weight": some, "logit_scale": some, "text.ln_final.weight": some, "attn_mask": some}
    assert list(text_tensors(state)) == ["ln_final.weight"]
