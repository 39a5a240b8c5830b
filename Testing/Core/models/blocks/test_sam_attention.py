"""Attention with decomposed relative positions against its definition, one logit at a time."""

import numpy as np
import pytest
import torch

from inference_core.models.blocks import sam_attention
from inference_core.models.blocks.sam_attention import GridAttention, cut_windows, joined_windows, relative_table

WIDTH, HEADS, SIDE = 12, 2, 4


@pytest.fixture
def an_attention() -> GridAttention:
    torch.manual_seed(1)
    attention = GridAttention(WIDTH, heads=HEADS, side=SIDE)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return attention.double()


@pytest.fixture
def some_tokens() -> torch.Tensor:
    return torch.randn(2, 6, 9, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@torch.no_grad()
def defined(attention: GridAttention, grid: torch.Tensor) -> torch.Tensor:
    """Attention over one grid (A, W, C), token by token, head by head."""
    rows, columns, _ = grid.shape
    places = [(a, b) for a in range(rows) for b in range(columns)]
    by_row, by_column = attention.tables(rows, columns) if attention.placed else (None, None)
    qkv = attention.qkv(grid).reshape(rows, columns, 3, HEADS, -1)
    result = torch.zeros(rows, columns, HEADS, WIDTH // HEADS, dtype=grid.dtype)
    for a, b in places:
        for head in range(HEADS):
            q = qkv[a, b, 0, head]
            logits = torch.stack([(q * qkv[c, d, 1, head]).sum() * len(q) ** -0.5 for c, d in places])
            if attention.placed:
                logits += torch.stack([q @ by_row[a, c] + q @ by_column[b, d] for c, d in places])
            values = torch.stack([qkv[c, d, 2, head] for c, d in places])
            result[a, b, head] = logits.softmax(dim=0) @ values
    return attention.proj(result.flatten(2))


@pytest.fixture(params=[1, 70, 1 << 20], ids=["a row at a time", "in parts", "at once"])
def room_for_logits(request, monkeypatch):
    monkeypatch.setattr(sam_attention, "_CPU_LOGITS", request.param)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (2, 4), (1, 3), (5, 3)])
@pytest.mark.usefixtures("room_for_logits")
@torch.no_grad()
def test_a_whole_grid_of_any_shape_is_attended_over_as_defined(an_attention, some_tokens, shape):
    grids = some_tokens[:, : shape[0], : shape[1]]
    wanted = torch.stack([defined(an_attention, grid) for grid in grids])
    assert torch.allclose(an_attention(grids), wanted, atol=1e-12)


@pytest.mark.parametrize("filled", [False, True], ids=["zeros beyond", "a token beyond"])
@pytest.mark.usefixtures("room_for_logits")
@torch.no_grad()
def test_windows_see_each_token_beyond_the_grid(an_attention, some_tokens, filled):
    """6 x 9 tokens in windows of 4: the last row of windows has 2 rows, the last column 1 column of real tokens."""
    beyond = torch.linspace(-1, 1, WIDTH, dtype=torch.float64) if filled else torch.zeros(WIDTH, dtype=torch.float64)
    padded = beyond.expand(2, 8, 12, WIDTH).clone()
    padded[:, :6, :9] = some_tokens
    wanted = torch.zeros_like(padded)
    for image in range(2):
        for a in range(0, 8, SIDE):
            for b in range(0, 12, SIDE):
                window = (image, slice(a, a + SIDE), slice(b, b + SIDE))
                wanted[window] = defined(an_attention, padded[window])
    found = an_attention.in_windows(some_tokens, SIDE, beyond if filled else None)
    assert torch.allclose(found, wanted[:, :6, :9], atol=1e-12)


@torch.no_grad()
def test_attention_may_know_no_places():
    torch.manual_seed(3)
    attention = GridAttention(WIDTH, heads=HEADS, side=None)
    grid = torch.randn(1, 3, 4, WIDTH)
    assert set(attention.state_dict()) == {"qkv.weight", "qkv.bias", "proj.weight", "proj.bias"}
    assert torch.allclose(attention(grid)[0], defined(attention, grid[0]), atol=1e-6)


def test_attention_can_be_trained_through(an_attention, some_tokens):
    tokens = some_tokens.clone().requires_grad_()
    an_attention.in_windows(tokens, SIDE).square().sum().backward()
    assert tokens.grad.abs().min() > 0
    assert all(parameter.grad.abs().max() > 0 for parameter in an_attention.parameters())


@pytest.mark.parametrize("queries_keys", [(8, 8), (4, 4), (2, 2), (12, 12), (4, 8), (8, 4), (1, 1)])
def test_relative_tables_are_looked_up_and_resampled_as_the_original_does(the_sam_io, queries_keys):
    queries, keys = queries_keys
    found = relative_table(torch.from_numpy(the_sam_io["unit/rel_table"]), queries, keys)
    # torch 2.6 resamples with other roundings than the version that the original ran on.
    assert np.abs(found.numpy() - the_sam_io[f"unit/rel_q{queries}_k{keys}"]).max() < 1e-6


def test_windows_are_cut_and_joined_as_the_original_does(the_sam_io):
    tokens = torch.from_numpy(the_sam_io["unit/win_in"])
    windows = cut_windows(tokens, 3)
    assert np.array_equal(windows.numpy(), the_sam_io["unit/win_out"])
    assert torch.equal(joined_windows(windows, (8, 5)), tokens)
