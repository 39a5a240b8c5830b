"""What is counted of a network is what its layers' shapes say, whichever library computes them."""

import pytest
import torch
import torch.nn.functional as F

from inference_core.benchmark import machine_rate
from inference_core.benchmark.machine_rate import matrix_rate, operations_of
from inference_core.models.blocks import layers
from inference_core.models.blocks.conv3d import convolve
from inference_core.models.blocks.layers import linear


@pytest.mark.parametrize("one_dnn", [True, False])
def test_a_linear_layer_is_counted_by_either_library(monkeypatch, one_dnn):
    monkeypatch.setattr(layers, "_HAS_ONE_DNN", layers._HAS_ONE_DNN and one_dnn)
    layer, x = torch.nn.Linear(30, 20), torch.randn(7, 5, 30)
    assert operations_of(lambda: linear(x, layer)) == 2 * 35 * 30 * 20


def test_convolutions_and_attention_are_counted():
    x, weight = torch.randn(1, 4, 6, 6, 6), torch.randn(8, 4, 3, 3, 3)
    assert operations_of(lambda: convolve(x, weight, padding=(1, 1, 1))) == 2 * 8 * 216 * 4 * 27
    q, k = torch.randn(2, 3, 10, 16), torch.randn(2, 3, 12, 16)
    assert operations_of(lambda: F.scaled_dot_product_attention(q, k, k)) == 2 * 2 * 3 * 10 * 12 * 32


def test_a_layer_that_reads_a_parameter_is_counted():
    norm, layer = torch.nn.LayerNorm(30), torch.nn.Linear(30, 20)
    assert operations_of(lambda: layer(norm.bias[None])) == 2 * 30 * 20
    assert operations_of(lambda: layer(norm.bias)) == 2 * 30 * 20


def test_the_machine_has_a_rate(monkeypatch):
    monkeypatch.setattr(machine_rate, "_REPEATS", 2)
    assert matrix_rate() > 1e8
