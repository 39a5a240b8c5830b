"""SAM's encoder in its plain form against what the original classes gave, and what a comparison of forms tells."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inference_core.benchmark import comparison
from inference_core.benchmark.comparison import FormCost
from inference_core.benchmark.reference_sam import compare_forms, plain_encoder, random_encoder
from inference_core.benchmark.timing import peak_memory_bytes
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes, read_sizes
from inference_core.models.weights import load_state_dict, load_strict

DATA = Path(__file__).parents[2] / "Data" / "sam"
TINY = SamSizes(image_size=160, width=48, depth=2, heads=3, window=7, global_blocks=(1,), prompt_width=16)


@torch.inference_mode()
def test_the_plain_form_gives_the_original_networks_embedding():
    state = load_state_dict(DATA / "small.safetensors")
    network = SamNetwork(read_sizes(state))
    load_strict(network, state, name="a.pth")
    plain = plain_encoder(network.image_encoder, network.sizes)
    with np.load(DATA / "small_io.npz") as file:
        tokens, wanted = torch.from_numpy(file["enc/after_pos_embed"]), file["enc/embedding"]
    found = plain.from_tokens(tokens - plain.pos_embed)
    assert np.abs(found.numpy() - wanted).max() < 5e-5


@torch.inference_mode()
def test_both_forms_agree_where_windows_reach_beyond_the_grid():
    encoder = random_encoder(TINY)
    picture = torch.randn(2, 3, 160, 160)
    found, wanted = encoder(picture), plain_encoder(encoder, TINY)(picture)
    assert wanted.std() > 0.1
    assert torch.allclose(found, wanted, atol=2e-5)


def test_a_comparison_tells_time_and_agreement(monkeypatch):
    embeddings = {"fast": np.array([1.0, 2.5]), "plain": np.array([1.0, 2.0]), "half": np.array([4.0, 6.0])}
    costs = {"fast": FormCost(2.0, 10), "plain": FormCost(8.0, 30), "half": FormCost(1.0, 5)}
    monkeypatch.setattr(comparison, "_in_a_process", lambda form, _, **__: (costs[form], embeddings[form]))
    forms = compare_forms(TINY)
    assert (forms.ratio, forms.largest_difference, forms.embedding_std) == (0.25, 0.5, 0.5)
    assert (forms.shortcut_peak, forms.plain_peak) == (10, 30)
    assert (forms.half_s, forms.half_difference) == (1.0, pytest.approx(12.5**0.5))


def test_a_form_is_measured_in_a_process_of_its_own():
    held = np.ones(100_000_000, dtype=np.uint8)
    forms = compare_forms(TINY, repeats=1)
    assert forms.largest_difference < 2e-5
    assert min(forms.shortcut_s, forms.plain_s, forms.half_s) > 0
    assert 1e-4 < forms.half_difference / forms.embedding_std < 0.1
    assert forms.shortcut_peak is None or 5e7 < forms.shortcut_peak < peak_memory_bytes()
    assert held[0]
