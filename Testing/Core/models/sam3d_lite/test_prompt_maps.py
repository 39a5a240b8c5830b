"""Prompt maps against the same maps drawn cell by cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import turn

from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.models.sam3d_lite.prompt_maps import (
    PROMPT_CHANNELS,
    DensePrompts,
    bounded_prior,
    cell_centers,
    draw_boxes,
    prompt_maps,
    sample_at,
    similarity_to_clicks,
)
from inference_core.prompts.encoding import WindowPrompts, encode_prompts
from inference_core.prompts.prompt_set import BoxPrompt, PromptSet

SHAPE = (8, 12, 10)
HALF = (4, 6, 5)
NO_BOXES = np.zeros((0, 8, 3))
CELLS = list(itertools.product(*[range(n) for n in HALF]))
CLICK_SETS = [
    pytest.param([], id="none"),
    pytest.param([((2.2, 3.4, 5.1), 1)], id="one positive"),
    pytest.param([((2.2, 3.4, 5.1), 0)], id="one negative"),
    pytest.param([((2.2, 3.4, 5.1), 1), ((6.0, 9.5, 0.3), 0)], id="one of each"),
    pytest.param([((7.4, 11.3, 9.4), 1), ((-0.5, 0, 1), 0), ((1, 8, 4), 1), ((5, 5, 5), 0)], id="two of each"),
]
BOX = [[(1.5 + 4 * (n & 1), 2.5 + 3 * (n >> 1 & 1), 4.5 + 2 * (n >> 2)) for n in range(8)]]
BOXES = pytest.mark.parametrize("boxes", [NO_BOXES, np.array(BOX, dtype=np.float64)], ids=["no box", "a box"])


def dense(clicks, boxes=NO_BOXES, prior=None, shape=SHAPE) -> DensePrompts:
    points = np.array([point for point, _ in clicks], dtype=np.float64).reshape(-1, 3)
    labels = np.array([label for _, label in clicks], dtype=np.int64)
    return DensePrompts.from_window(WindowPrompts(points, labels, boxes), prior, shape=shape, device="cpu")


def an_image() -> torch.Tensor:
    return torch.randn(1, 2, *SHAPE, generator=torch.Generator().manual_seed(5))


def center_of(cell) -> np.ndarray:
    """The middle of the 2 x 2 x 2 window voxels under a cell."""
    return 2 * np.array(cell) + 0.5


def read_at(array: np.ndarray, position) -> float:
    """A value between the cells of an array by hand, clamped at the edges."""
    last = np.array(array.shape) - 1
    position = np.clip(position, 0, last)
    low = np.floor(position).astype(int)
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.prod(np.where(corner, position - low, 1 - (position - low)))
        total += weight * array[tuple(np.minimum(low + corner, last))]
    return float(total)


def maps_by_hand(image: torch.Tensor, clicks, box: np.ndarray, box_center, prior: np.ndarray) -> np.ndarray:
    local = F.avg_pool3d(image[:, 1:], 2)[0, 0].numpy()
    maps = np.zeros((10, *HALF))
    signed = {label: [np.array(point) for point, given_ in clicks if given_ == label] for label in (1, 0)}
    sources = {1: signed[1] or [np.array(box_center)], 0: signed[0]}
    for cell, (channel, label) in itertools.product(CELLS, ((0, 1), (2, 0))):
        if signed[label]:
            nearest = min(np.linalg.norm(point - center_of(cell)) for point in signed[label])
            maps[(channel, *cell)] = np.exp(-0.5 * (nearest / 2.0) ** 2)
            maps[(channel + 1, *cell)] = np.exp(-nearest / 12.0)
        if sources[label]:
            source = min(sources[label], key=lambda point: np.linalg.norm(point - center_of(cell)))
            difference = local[cell] - read_at(local, (source + 0.5) / 2 - 0.5)
            maps[(channel + 4, *cell)] = np.clip(difference, -3, 3)
            maps[(channel + 5, *cell)] = np.exp(-0.5 * (difference / 0.4) ** 2)
    maps[8], maps[9] = box, prior
    return maps


@BOXES
@pytest.mark.parametrize("clicks", CLICK_SETS)
def test_prompt_maps_equal_those_drawn_cell_by_cell(clicks, boxes):
    image, prior = 2 * an_image(), np.random.default_rng(2).normal(0, 5, SHAPE).astype(np.float32)
    prompts = dense(clicks, boxes, prior)
    pooled = prior.reshape(4, 2, 6, 2, 5, 2).mean(axis=(1, 3, 5))
    box = np.zeros(HALF)
    if len(boxes):
        low, high = boxes[0].min(axis=0), boxes[0].max(axis=0)
        box = np.array([1.0 if np.all((center_of(c) >= low) & (center_of(c) <= high)) else -1.0 for c in CELLS])
        assert 0 < (box > 0).sum() < len(CELLS) / 2
    center = boxes[0].mean(axis=0) if len(boxes) else (np.array(SHAPE) - 1) / 2
    expected = maps_by_hand(image, clicks, box.reshape(HALF), center, np.tanh(pooled / 4))
    drawn = prompt_maps(image, prompts)
    assert drawn.shape == (1, PROMPT_CHANNELS, *HALF)
    np.testing.assert_allclose(drawn[0, :10], expected, atol=2e-5)


def test_an_earlier_mask_is_bounded_and_absent_at_first():
    prior = np.full(SHAPE, 1e6, dtype=np.float32)
    assert not dense([]).prior.any()
    assert dense([], prior=prior).prior.max() == 1.0
    assert bounded_prior(torch.full((1, 1, 4, 4, 4), -4.0))[0, 0, 0, 0, 0] == pytest.approx(np.tanh(-1))


def test_a_cell_lies_in_the_middle_of_its_eight_voxels():
    voxels = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in SHAPE], indexing="ij"))
    torch.testing.assert_close(cell_centers(HALF, voxels), F.avg_pool3d(voxels, 2).permute(1, 2, 3, 0))


def likeness_by_hand(keys: np.ndarray, clicks, box_center, *, stride: int, label: int) -> np.ndarray:
    sources = [np.array(point) for point, given_ in clicks if given_ == label]
    if label == 1 and not sources:
        sources = [np.array(box_center)]
    clicked = [[read_at(channel, (source + 0.5) / stride - 0.5) for channel in keys] for source in sources]
    likeness = np.zeros(keys.shape[1:])
    for cell in itertools.product(*[range(n) for n in keys.shape[1:]]):
        likeness[cell] = max((np.dot(key, keys[(slice(None), *cell)]) for key in clicked), default=0.0)
    return likeness


@BOXES
@pytest.mark.parametrize(("stride", "cells"), [(2, (4, 6, 5)), (4, (2, 3, 2))])
@pytest.mark.parametrize("clicks", CLICK_SETS)
def test_similarity_equals_that_found_cell_by_cell(clicks, stride, cells, boxes):
    keys = F.normalize(torch.randn(1, 7, *cells, generator=torch.Generator().manual_seed(1)), dim=1)
    center = boxes[0].mean(axis=0) if len(boxes) else (np.array(SHAPE) - 1) / 2
    maps = similarity_to_clicks(keys, dense(clicks, boxes), stride=stride)
    assert maps.shape == (1, 2, *cells)
    for channel, label in ((0, 1), (1, 0)):
        expected = likeness_by_hand(keys[0].numpy(), clicks, center, stride=stride, label=label)
        np.testing.assert_allclose(maps[0, channel], expected, atol=2e-5)


def test_the_most_alike_click_counts_and_not_the_nearest():
    """Keys of two tissues; a near click on the one and a far click on the other."""
    keys = torch.zeros(1, 2, 4, 4, 4)
    keys[:, 0, :2], keys[:, 1, 2:] = 1.0, 1.0
    clicks = [((1, 3, 3), 1), ((6, 3, 3), 1)]
    similarity = similarity_to_clicks(keys, dense(clicks, shape=(8, 8, 8)), stride=2)
    torch.testing.assert_close(similarity[0, 0], torch.ones(4, 4, 4))
    assert not similarity[0, 1].any()


def test_tissue_opposite_to_a_click_keeps_its_negative_likeness():
    keys = torch.ones(1, 1, 4, 4, 4)
    keys[..., 2:] = -1
    similarity = similarity_to_clicks(keys, dense([((3, 3, 1), 0)], shape=(8, 8, 8)), stride=2)
    torch.testing.assert_close(similarity[0, 1], keys[0, 0])


@pytest.mark.parametrize("clicks", CLICK_SETS[1:])
def test_padding_clicks_change_nothing(clicks):
    """In a batch the sets are as long as the longest; -1 marks what is not there."""
    alone, image = dense(clicks, np.array(BOX)), an_image()
    padded = DensePrompts(
        torch.cat([alone.points, torch.zeros(1, 2, 3)], dim=1),
        torch.cat([alone.labels, torch.full((1, 2), -1)], dim=1),
        alone.box,
        alone.box_center,
        alone.prior,
    )
    keys = F.normalize(torch.randn(1, 5, *HALF), dim=1)
    torch.testing.assert_close(prompt_maps(image, padded), prompt_maps(image, alone))
    similarity = similarity_to_clicks(keys, alone, stride=2)
    torch.testing.assert_close(similarity_to_clicks(keys, padded, stride=2), similarity)


def test_only_padding_is_as_no_click_at_all():
    none, image = dense([], np.array(BOX)), an_image()
    padded = DensePrompts(torch.zeros(1, 1, 3), torch.full((1, 1), -1), none.box, none.box_center, none.prior)
    torch.testing.assert_close(prompt_maps(image, padded), prompt_maps(image, none))


def test_a_batch_gives_what_each_of_its_windows_gives():
    sets = [[((2.2, 3.4, 5.1), 1), ((6, 9, 1), 0)], [((1, 8, 4), 0), ((5, 5, 5), 0)], [((7, 2, 3), 1), ((4, 4, 4), 1)]]
    singles = [dense(clicks) for clicks in sets]
    names = ("points", "labels", "box", "box_center", "prior")
    batch = DensePrompts(*[torch.cat([getattr(single, name) for single in singles]) for name in names])
    images = torch.randn(3, 2, *SHAPE)
    keys = F.normalize(torch.randn(3, 5, *HALF), dim=1)
    maps, likeness = prompt_maps(images, batch), similarity_to_clicks(keys, batch, stride=2)
    for n, single in enumerate(singles):
        torch.testing.assert_close(maps[n : n + 1], prompt_maps(images[n : n + 1], single))
        torch.testing.assert_close(likeness[n : n + 1], similarity_to_clicks(keys[n : n + 1], single, stride=2))


angles = st.floats(-180, 180)


@settings(max_examples=40, deadline=None)
@given(
    degrees=st.tuples(angles, angles, angles),
    size=st.tuples(*[st.floats(3, 14)] * 3),
    shift=st.tuples(*[st.floats(-4, 4)] * 3),
)
def test_an_oblique_box_is_drawn_where_it_lies_in_the_patient(degrees, size, shift):
    window = oblique_window()
    box = Box3D(window.center_ras + shift, turn(degrees), np.array(size))
    drawn, center = drawn_in(window, box)
    places = window.to_ras(cell_centers(HALF, torch.zeros(0)).numpy())
    share = np.abs((places - box.center) @ box.axes / box.size).max(axis=-1)
    clear = np.abs(share - 0.5) > 1e-4
    np.testing.assert_array_equal(drawn.numpy()[clear], np.where(share <= 0.5, 1.0, -1.0)[clear])
    np.testing.assert_allclose(center, window.to_ijk(box.center), atol=1e-4)


def oblique_window() -> Grid:
    axes = turn((15, -35, 50)) @ np.diag([1.0, -1.0, 1.0])
    return isotropic_grid([31.0, -47.0, 113.0], shape=SHAPE, spacing=1.3, axes=axes)


def drawn_in(window: Grid, *boxes: Box3D) -> tuple[torch.Tensor, torch.Tensor]:
    prompts = encode_prompts(PromptSet(tuple(BoxPrompt(box) for box in boxes)), window)
    return draw_boxes(torch.from_numpy(prompts.boxes).float(), HALF)


def test_several_boxes_are_drawn_together_and_the_last_says_where_to_look():
    window = oblique_window()
    boxes = [Box3D(window.center_ras + shift, turn((20, 5, 9)), np.array([4.0, 5.0, 6.0])) for shift in (-4, 3)]
    drawn, center = drawn_in(window, *boxes)
    each = [drawn_in(window, box)[0] for box in boxes]
    assert all((single > 0).any() for single in each)
    assert torch.equal(drawn, torch.maximum(*each))
    np.testing.assert_allclose(center, window.to_ijk(boxes[1].center), atol=1e-4)


def test_without_a_box_the_map_is_empty_and_the_window_is_looked_at_in_its_middle():
    drawn, center = draw_boxes(torch.zeros(0, 8, 3), HALF)
    assert not drawn.any()
    np.testing.assert_allclose(center, (np.array(SHAPE) - 1) / 2)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_map_is_read_between_its_cells_and_clamped_at_its_edges(stride):
    values = torch.randn(2, 3, 4, 6, 5)
    points = torch.rand(2, 9, 3) * torch.tensor([4.0, 6.0, 5.0]) * stride * 1.4 - 2
    read = sample_at(values, points, stride=stride)
    assert read.shape == (2, 3, 9)
    for b, c, n in itertools.product(range(2), range(3), range(9)):
        expected = read_at(values[b, c].numpy(), (points[b, n].numpy() + 0.5) / stride - 0.5)
        assert read[b, c, n] == pytest.approx(expected, abs=1e-4)
