"""The simulated user: first prompts lie on the target, later ones in the largest error and with the right sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage as ndi

from inference_core.models.sam3d_lite.prompt_maps import bounded_prior, draw_boxes
from inference_core.models.sam3d_lite.stroke_maps import (
    BALL,
    LASSO,
    LASSO_BACKGROUND,
    LINE,
    SCRIBBLE,
    SCRIBBLE_BACKGROUND,
)
from inference_core.training.interaction import Habits, SimulatedUser

SHAPE = (16, 24, 32)
SEEDS = range(12)


def box_target(*corners: tuple[slice, slice, slice], shape=SHAPE) -> torch.Tensor:
    target = torch.zeros(shape, dtype=torch.bool)
    for corner in corners:
        target[corner] = True
    return target


LEFT = (slice(2, 10), slice(4, 14), slice(2, 12))
RIGHT = (slice(4, 8), slice(14, 20), slice(22, 28))
BOTH = box_target(LEFT, RIGHT)


def user_of(*targets: torch.Tensor, seed: int = 0, box_share: float = 0.0, **habits: float) -> SimulatedUser:
    rngs = [np.random.default_rng([seed, number]) for number in range(len(targets))]
    return SimulatedUser(torch.stack(targets), habits=Habits(box=box_share, **habits), rngs=rngs)


def logits_of(*masks: torch.Tensor) -> torch.Tensor:
    return 8 * (2 * torch.stack(masks).float()[:, None] - 1)


def cell_of(point) -> tuple[int, ...]:
    return tuple(int((value + 0.5) // 2) for value in point)


def halved(mask: torch.Tensor) -> np.ndarray:
    return F.avg_pool3d(mask[None, None].float(), 2)[0, 0].numpy() > 0.5


def last_click(user: SimulatedUser, index: int = 0) -> tuple[tuple[int, ...], int]:
    return cell_of(user.points[index][-1]), user.labels[index][-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_click_is_positive_and_on_the_target_give_or_take_a_slip(seed):
    cell, label = last_click(user_of(box_target(LEFT), seed=seed))
    assert label == 1
    assert ndi.binary_dilation(halved(box_target(LEFT)))[cell]


@pytest.mark.parametrize("voxel", [(0, 0, 0), (15, 23, 31), (7, 8, 9)])
def test_a_target_of_one_voxel_is_clicked_though_it_vanishes_at_half_resolution(voxel):
    target = torch.zeros(SHAPE, dtype=torch.bool)
    target[voxel] = True
    users = [user_of(target, seed=seed) for seed in range(20)]
    assert all(user.labels[0] == [1] for user in users)
    near = [np.abs(np.subtract(user.points[0][0], voxel)).max() <= 0.5 for user in users]
    assert np.mean(near) >= 0.8


def test_a_missed_target_of_one_voxel_is_clicked_again():
    target = torch.zeros(SHAPE, dtype=torch.bool)
    target[7, 8, 9] = True
    user = user_of(target)
    user.see(logits_of(box_target()))
    assert user.labels[0] == [1, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_missed_target_is_clicked_positive_in_its_largest_piece(seed):
    user = user_of(BOTH, seed=seed)
    user.see(logits_of(box_target()))
    cell, label = last_click(user)
    assert label == 1
    assert halved(box_target(LEFT))[cell]


def test_the_largest_error_is_clicked_though_a_smaller_one_is_deeper():
    plate, cube = (slice(0, 4), slice(0, 24), slice(0, 20)), (slice(8, 16), slice(8, 16), slice(24, 32))
    user = user_of(box_target(plate, cube))
    user.see(logits_of(box_target()))
    assert halved(box_target(plate))[last_click(user)[0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_only_what_is_missed_is_clicked(seed):
    user = user_of(BOTH, seed=seed)
    user.see(logits_of(box_target(LEFT)))
    cell, label = last_click(user)
    assert label == 1
    assert halved(box_target(RIGHT))[cell]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spill_is_clicked_negative_in_its_largest_piece(seed):
    user = user_of(box_target(RIGHT), seed=seed)
    spill = (slice(0, 4), slice(20, 24), slice(0, 4))
    user.see(logits_of(box_target(LEFT, RIGHT, spill)))
    cell, label = last_click(user)
    assert label == 0
    assert halved(box_target(LEFT))[cell]


@pytest.mark.parametrize(("spilled", "expected"), [(LEFT, 0), ((slice(12, 14), slice(0, 4), slice(0, 4)), 1)])
def test_the_larger_of_a_miss_and_a_spill_is_clicked(spilled, expected):
    user = user_of(box_target(RIGHT))
    user.see(logits_of(box_target(spilled)))
    cell, label = last_click(user)
    assert label == expected
    assert halved(box_target(RIGHT if expected else spilled))[cell]


def test_a_right_mask_is_not_clicked():
    user = user_of(BOTH, box_target(RIGHT))
    user.see(logits_of(BOTH, box_target()))
    assert [len(points) for points in user.points] == [1, 2]
    assert [len(labels) for labels in user.labels] == [1, 2]


def test_clicks_are_padded_to_the_longest_set():
    user = user_of(BOTH, box_target(RIGHT))
    user.see(logits_of(BOTH, box_target()))
    prompts = user.prompts()
    assert prompts.points.shape == (2, 2, 3)
    assert prompts.labels.tolist() == [[1, -1], [1, 1]]
    torch.testing.assert_close(prompts.points[1], torch.tensor(user.points[1], dtype=torch.float32))
    assert prompts.box.shape == prompts.prior.shape == (2, 1, 8, 12, 16)
    assert prompts.box_center.shape == (2, 1, 3)


def test_the_last_mask_becomes_the_prior():
    user = user_of(BOTH)
    assert not user.prompts().prior.any()
    logits = torch.randn(1, 1, *SHAPE, requires_grad=True)
    user.see(logits)
    torch.testing.assert_close(user.prompts().prior, bounded_prior(logits.detach()))
    assert not user.prompts().prior.requires_grad


def test_boxes_come_as_often_as_asked_and_mostly_alone():
    users = {share: user_of(*[BOTH] * 60, seed=3, box_share=share) for share in (0.0, 0.5, 1.0)}
    boxed = {share: sum(len(box) for box in user.boxes) for share, user in users.items()}
    assert boxed[0.0] == 0
    assert 18 < boxed[0.5] < 42
    assert boxed[1.0] == 60
    assert 5 < sum(len(points) for points in users[1.0].points) < 32
    for user in users.values():
        assert all(len(box) + len(points) > 0 for box, points in zip(user.boxes, user.points, strict=True))


def test_a_batch_of_boxes_without_a_click_has_only_padding():
    user = next(user for seed in range(20) if not (user := user_of(BOTH, seed=seed, box_share=1.0)).points[0])
    prompts = user.prompts()
    assert prompts.labels.tolist() == [[-1]]
    assert (prompts.box > 0).any()


def test_a_third_of_the_boxes_are_tight_and_the_others_up_to_30_percent_loose():
    target = box_target(LEFT)
    boxes = [user_of(target, seed=seed, box_share=1.0).boxes[0][0].numpy() for seed in range(90)]
    edge = np.array([8, 10, 10])
    slack = np.array([[[1.5, 3.5, 1.5] - box.min(axis=0), box.max(axis=0) - [9.5, 13.5, 11.5]] for box in boxes]) / edge
    assert slack.max() <= 0.3 + 1e-6
    assert slack.min() >= -0.03 - 1e-6
    tight = (np.abs(slack) <= 0.05 + 1e-6).all(axis=(1, 2))
    assert 0.2 < tight.mean() < 0.5
    assert slack.max(axis=(1, 2)).max() > 0.25
    for box in boxes:
        np.testing.assert_allclose(box[1] - box[0], np.ptp(box, axis=0) * (1, 0, 0), atol=1e-5)
        np.testing.assert_allclose(box[4] - box[0], np.ptp(box, axis=0) * (0, 0, 1), atol=1e-5)


def test_a_box_around_one_voxel_has_a_volume():
    target = torch.zeros(SHAPE, dtype=torch.bool)
    target[7, 8, 9] = True
    for seed in SEEDS:
        box = user_of(target, seed=seed, box_share=1.0).boxes[0]
        assert (box[0].max(dim=0).values - box[0].min(dim=0).values > 0.999).all()
        assert torch.isfinite(draw_boxes(box, (8, 12, 16))[0]).all()


def test_the_same_seed_clicks_the_same_places():
    users = [user_of(BOTH, box_target(LEFT), seed=seed, box_share=0.5) for seed in (1, 1, 2)]
    for user in users:
        user.see(logits_of(box_target(), box_target()))
    assert users[0].points == users[1].points != users[2].points


def test_a_foreign_mask_is_the_prior_and_its_largest_error_is_clicked():
    for seed in SEEDS:
        user = user_of(box_target(LEFT), seed=seed, foreign=1.0)
        prior = user.prompts().prior[0, 0]
        assert prior.max() > 0.7 > -0.7 > prior.min()
        wrong = (prior.numpy() > 0) != halved(box_target(LEFT))
        # Only a mask that is right at half resolution needs no click.
        assert len(user.points[0]) == 1 or not wrong.any()


def test_a_line_is_drawn_and_told_by_three_points_on_the_target():
    user = user_of(box_target(LEFT), line=1.0)
    maps = user.prompts().strokes[0]
    assert maps[LINE].max() == 1
    assert maps[BALL].max() > 0.5
    assert user.labels[0] == [1, 1, 1]
    assert halved(box_target(LEFT))[cell_of(user.points[0][1])]


def test_scribbles_and_lassos_lie_on_the_target():
    inside = halved(box_target(LEFT))
    for seed in SEEDS:
        scribble = user_of(box_target(LEFT), seed=seed, scribble=1.0).prompts().strokes[0, SCRIBBLE].numpy()
        assert inside[scribble == 1].all()
        assert (scribble == 1).any()
        lasso = user_of(box_target(LEFT), seed=seed, lasso=1.0).prompts().strokes[0, LASSO].numpy()
        assert (lasso == 0).mean() > 0.8
        assert inside[lasso == 1].mean() > 0.7
        assert not (inside & (lasso == -1)).sum() > 0.3 * (inside & (lasso != 0)).sum()


def test_a_drawn_correction_has_the_sign_of_the_error():
    drawn = set()
    for seed in range(30):
        user = user_of(box_target(RIGHT), seed=seed, drawn_correction=1.0)
        user.see(logits_of(box_target(LEFT, RIGHT)))
        assert set(user.labels[0][1:]) == {0}
        for channel in (SCRIBBLE_BACKGROUND, LASSO_BACKGROUND):
            cells = user.prompts().strokes[0, channel].numpy() == 1
            if cells.any():
                drawn.add(channel)
                assert halved(box_target(LEFT))[cells].mean() > 0.6
    assert drawn == {SCRIBBLE_BACKGROUND, LASSO_BACKGROUND}
