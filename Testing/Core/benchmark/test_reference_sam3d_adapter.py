"""The plain form of 3DSAM-adapter, and the comparison with it, on a small network."""

import numpy as np
import pytest
import torch

from inference_core.benchmark import reference_sam3d_adapter as plain
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig

SMALL = Sam3DAdapterConfig(
    grid=8, width=24, heads=3, cube=4, rows=4 * (13, 7, 31), out=16, prompt_heads=4, prompt_hidden=32, head=8
)


def test_both_forms_are_the_same_function():
    network = plain.random_network(SMALL, seed=3)
    image, points = torch.randn(1, 1, 32, 32, 32), torch.tensor([[3.0, 28.0, 11.5], [15.0, 15.0, 16.0]])
    with torch.inference_mode():
        fast, slow = (
            form.decode(form.encode(image), points) for form in (plain.FastForm(network), plain.PlainForm(network))
        )
        other = plain.FastForm(network).decode(plain.FastForm(network).encode(image), points + 4)
    assert (fast - slow).abs().max() < 1e-5
    assert (other - slow).abs().max() > 1e-3


def test_each_form_is_measured_in_a_process_of_its_own():
    before = torch.get_num_threads()
    forms = plain.compare_forms(SMALL)
    assert forms.largest_difference < 1e-5 < forms.logit_std
    for cost in (forms.fast, forms.plain):
        assert cost.first_s > cost.further_s > 0
        assert cost.peak is None or cost.peak > 1e8
    assert forms.ratio == pytest.approx(forms.fast.first_s / forms.plain.first_s)
    assert torch.get_num_threads() == before


def test_the_same_seed_draws_the_same_network():
    first, second = (plain.random_network(SMALL, seed=5).state_dict() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
