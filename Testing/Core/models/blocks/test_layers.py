"""Linear layers by whichever library: the same numbers, and gradients where they are wanted."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inference_core.models.blocks import layers
from inference_core.models.blocks.layers import Mlp, by_one_dnn, linear


@pytest.fixture
def some_tokens():
    return torch.randn(2, 31, 27, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def a_layer():
    torch.manual_seed(2)
    return nn.Linear(24, 17)


def test_a_linear_layer_and_its_gelu_are_the_same_by_either_library(a_layer, some_tokens):
    with torch.inference_mode():
        assert by_one_dnn(some_tokens)
        assert torch.allclose(linear(some_tokens, a_layer), a_layer(some_tokens), atol=1e-6)
        assert torch.allclose(linear(some_tokens, a_layer, gelu=True), F.gelu(a_layer(some_tokens)), atol=1e-6)


def test_a_layer_without_a_bias_is_the_same_too(some_tokens):
    layer = nn.Linear(24, 9, bias=False)
    with torch.inference_mode():
        assert torch.allclose(linear(some_tokens, layer), layer(some_tokens), atol=1e-6)


def test_double_precision_keeps_its_precision(a_layer, some_tokens):
    with torch.inference_mode():
        exact = linear(some_tokens.double(), a_layer.double(), gelu=True)
        assert torch.equal(exact, F.gelu(a_layer.double()(some_tokens.double())))


@pytest.mark.parametrize("activation", [nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU()], ids=repr)
def test_an_mlp_is_the_same_in_parts(some_tokens, activation, monkeypatch):
    monkeypatch.setattr(layers, "_TOKENS", 500)
    mlp = Mlp(24, 40, activation)
    wanted = mlp.lin2(activation(mlp.lin1(some_tokens)))
    with torch.inference_mode():
        found = mlp(some_tokens)
    assert found.shape == some_tokens.shape
    assert torch.allclose(found, wanted, atol=1e-6)


def test_gradients_flow_where_they_are_wanted(a_layer, some_tokens):
    assert not by_one_dnn(some_tokens)
    linear(some_tokens, a_layer, gelu=True).sum().backward()
    assert a_layer.weight.grad.abs().sum() > 0
    mlp = Mlp(24, 40, nn.GELU())
    mlp(some_tokens).sum().backward()
    assert mlp.lin1.weight.grad.abs().sum() > 0
