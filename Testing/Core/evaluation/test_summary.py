"""Figures of merit on curves whose answers are known."""

import numpy as np
import pytest

from inference_core.evaluation.metrics import hausdorff95
from inference_core.evaluation.summary import area_under, as_json, clicks_to, summarize


def test_the_area_under_a_perfect_curve_is_four_and_a_ramps_is_worked_out_by_hand():
    curves = np.array([[1.0] * 5, [0.2, 0.4, 0.6, 0.8, 1.0], [0.0] * 5])
    assert np.allclose(area_under(curves), [4.0, 0.3 + 0.5 + 0.7 + 0.9, 0.0])
    assert np.allclose(area_under(np.hstack([curves, curves])), area_under(curves))


def test_clicks_to_a_dice_are_counted_from_one_and_capped_where_it_is_never_reached():
    curves = np.array([[0.5, 0.86, 0.84], [0.9, 0.1, 0.1], [0.1, 0.2, 0.3]])
    assert clicks_to(curves, 0.85).tolist() == [2, 1, 3]


def test_harmful_clicks_failures_and_the_worst_fall_are_counted():
    found = summarize([[0.9, 0.87, 0.88], [0.5, 0.49, 0.6]], [[1, 1, 1]] * 2, [1.0, 3.0], ["a", "b"])
    assert (found.harmful, found.further_clicks) == (1, 4)
    assert found.worst_fall == pytest.approx(-0.03)
    assert found.failed == {0.85: 0.5, 0.9: 0.5}
    assert found.dice_area is None
    assert found.hausdorff95_mm.mean == 2.0


def test_an_interval_is_over_patients_and_not_over_images():
    """Ten alike images of each of two patients say no more than one of each."""
    curves = [[0.2]] * 10 + [[0.8]] * 10
    many = summarize(curves, curves, [0.0] * 20, ["a"] * 10 + ["b"] * 10).dice[0]
    few = summarize([[0.2], [0.8]], [[0.2], [0.8]], [0.0] * 2, ["a", "b"]).dice[0]
    assert (many.mean, many.low, many.high) == pytest.approx((few.mean, few.low, few.high))
    assert (many.low, many.high) == pytest.approx((0.2, 0.8))


def test_one_patient_has_no_spread_and_a_distance_that_is_infinite_is_left_out():
    found = summarize([[0.5], [0.7]], [[0.5], [0.7]], [np.inf, 4.0], ["a", "a"])
    assert found.dice[0].low == found.dice[0].high == pytest.approx(0.6)
    assert found.hausdorff95_mm.mean == 4.0
    assert (
        as_json(summarize([[0.5]], [[0.5]], [np.inf], ["a"]))["mean_and_95_percent_interval"]["hausdorff95_mm"] is None
    )


def test_the_hausdorff_distance_of_a_shifted_box_is_the_shift_in_mm():
    truth = np.zeros((20, 20, 12), dtype=bool)
    truth[4:12, 4:12, 3:8] = True
    mask = np.roll(truth, 3, axis=0)
    assert hausdorff95(mask, truth, spacing=(0.8, 1.0, 2.5)) == pytest.approx(2.4)
    assert hausdorff95(truth, truth, spacing=(1, 1, 1)) == 0
    assert hausdorff95(truth, np.zeros_like(truth), spacing=(1, 1, 1)) == np.inf
    assert hausdorff95(np.zeros_like(truth), np.zeros_like(truth), spacing=(1, 1, 1)) == 0
