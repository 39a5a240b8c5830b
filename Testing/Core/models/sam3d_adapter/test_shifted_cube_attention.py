"""Attention in shifted cubes against its definition: roll, cut, mask, attend with a matrix of biases, roll back."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inference_core.models.sam3d_adapter.shifted_cube_attention import (
    ShiftedCubeAttention,
    add_in_cubes,
    is_shifted_mask,
    packed_bits,
    relative_positions,
    shifted_mask,
    shifted_regions,
)

DATA = Path(__file__).parents[3] / "Data" / "sam3d_adapter"
SIDE, SIZE, CHANNELS, HEADS = 4, 12, 24, 3


@pytest.fixture(scope="module")
def the_references():
    with np.load(DATA / "extra.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def an_attention():
    torch.manual_seed(3)
    attention = ShiftedCubeAttention(CHANNELS, heads=HEADS, side=SIDE, rows=11)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return attention.double()


@pytest.fixture
def some_tokens():
    return torch.randn(1, SIZE, SIZE, SIZE, CHANNELS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize(("name", "size", "side"), [("mask_small", 8, 4), ("mask_real", 32, 8)])
def test_the_official_files_mask_is_known(the_references, name, size, side):
    assert np.array_equal(np.packbits(shifted_mask(size, side).numpy()), the_references[name])


def test_a_mask_is_known_by_its_bits_and_another_one_is_told():
    mask = shifted_mask(8, 4)
    assert is_shifted_mask(packed_bits(mask), 8, 4)
    mask[5, 3, 2] = ~mask[5, 3, 2]
    assert not is_shifted_mask(packed_bits(mask), 8, 4)
    assert not is_shifted_mask(packed_bits(shifted_mask(16, 4)), 8, 4)


def test_regions_are_kept_in_single_bytes():
    regions = shifted_regions(32, 8)
    assert regions.dtype == torch.int8
    assert regions.unique().tolist() == list(range(27))


@pytest.mark.parametrize("rows", [27, 127, 15])
def test_tables_of_any_length_become_the_originals(the_references, rows):
    found = relative_positions(torch.from_numpy(the_references[f"rel_pos/table{rows}"]), 8)
    assert np.abs(found.numpy() - the_references[f"rel_pos/R{rows}"]).max() < 1e-5


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("at_once", [64, 100_000])
def test_cubes_cut_where_they_lie_are_the_rolled_and_masked_ones(an_attention, some_tokens, shifted, at_once):
    wanted = some_tokens + by_definition(an_attention, some_tokens, shifted=shifted)
    tables = an_attention.tables()
    with torch.inference_mode():
        found = add_in_cubes(
            some_tokens.clone(), lambda cube: an_attention(cube, tables), side=SIDE, shifted=shifted, at_once=at_once
        )
    assert (found - wanted).abs().max() < 1e-12


def test_gradients_flow_and_leave_the_tokens_alone(an_attention, some_tokens):
    before, tables = some_tokens.clone(), an_attention.tables()
    y = add_in_cubes(some_tokens, lambda cube: an_attention(cube, tables), side=SIDE, shifted=True, at_once=64)
    y.square().sum().backward()
    assert torch.equal(some_tokens, before)
    assert all(parameter.grad.abs().max() > 0 for parameter in an_attention.parameters())


def test_a_cube_does_not_see_its_neighbor(an_attention, some_tokens):
    other = some_tokens.clone()
    other[:, :SIDE, :SIDE, :SIDE] += 1
    tables = an_attention.tables()
    with torch.inference_mode():
        first, second = (
            add_in_cubes(x.clone(), lambda cube: an_attention(cube, tables), side=SIDE, shifted=False, at_once=64)
            for x in (some_tokens, other)
        )
    assert torch.equal(first[:, SIDE:], second[:, SIDE:])
    assert not torch.equal(first[:, :SIDE, :SIDE, :SIDE], second[:, :SIDE, :SIDE, :SIDE])


def by_definition(attention, x, *, shifted):
    """What the specification says, with the roll, the mask and the biases spelled out."""
    count = SIZE // SIDE
    if shifted:
        x = torch.roll(x, (-SIDE // 2,) * 3, dims=(1, 2, 3))
    cubes = (
        x.view(count, SIDE, count, SIDE, count, SIDE, -1).permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, SIDE**3, CHANNELS)
    )
    q, k, v = attention.qkv(cubes).view(len(cubes), -1, 3, HEADS, CHANNELS // HEADS).permute(2, 0, 3, 1, 4)
    places = torch.tensor([(h, w, d) for h in range(SIDE) for w in range(SIDE) for d in range(SIDE)])
    bias = torch.zeros(len(cubes), HEADS, SIDE**3, SIDE**3, dtype=x.dtype)
    for axis, table in enumerate((attention.rel_pos_h, attention.rel_pos_w, attention.rel_pos_d)):
        rows = F.interpolate(table.T[None], size=2 * SIDE - 1, mode="linear", align_corners=False)[0].T
        offsets = rows[places[:, None, axis] - places[None, :, axis] + SIDE - 1]
        bias += torch.einsum("ghqc,qkc->ghqk", q, offsets)
    logits = q @ k.transpose(2, 3) / (CHANNELS // HEADS) ** 0.5 + attention.lr * bias
    if shifted:
        logits = logits - 100.0 * shifted_mask(SIZE, SIDE)[:, None]
    attended = attention.proj((logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
    y = attended.view(count, count, count, SIDE, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 4, 2, 5, 6).reshape(x.shape)
    return torch.roll(y, (SIDE // 2,) * 3, dims=(1, 2, 3)) if shifted else y
