"""Changes between visits with known answers, and the categories of RECIST 1.1 at their borders."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inference_core.errors import SAM3DError
from inference_core.measures.change import Fate, Lesion, Response, compare
from inference_core.measures.diameters import AxialDiameters, Diameter
from inference_core.measures.measurements import Measurements, measure


def line(mm):
    return Diameter((0.0, 0.0, 0.0), (mm, 0.0, 0.0))


def lesion(name, mm, *, short=None, ml=1.0, **kind):
    axial = AxialDiameters(line(mm), line(mm / 2 if short is None else short), 2, 0)
    return Lesion(name, Measurements(100, ml, axial, line(mm), None), **kind)


def gone(name, **kind):
    return Lesion(name, Measurements(0, 0.0, None, None, None), **kind)


@pytest.mark.parametrize(
    ("before", "after", "smallest", "expected"),
    [
        ([50, 50], [35, 35], None, Response.PARTIAL),  # exactly -30 %
        ([50, 50], [35, 35.2], None, Response.STABLE),
        ([50, 50], [60, 60], None, Response.PROGRESSIVE),  # exactly +20 %
        ([50, 50], [60, 59.8], None, Response.STABLE),
        ([20], [24.9], None, Response.STABLE),  # +25 %, but less than 5 mm
        ([20], [25], None, Response.PROGRESSIVE),
        ([100], [60], 50, Response.PROGRESSIVE),  # below the baseline, but +20 % from the smallest
        ([100], [59], 50, Response.PARTIAL),
        ([100], [80], 70, Response.STABLE),
    ],
)
def test_the_category_follows_the_sum_of_diameters(before, after, smallest, expected):
    visits = [[lesion(f"L{n}", mm) for n, mm in enumerate(visit)] for visit in (before, after)]
    found = compare(*visits, smallest_sum_mm=smallest)
    assert found.response is expected
    assert found.sum_mm == (sum(before), sum(after))


def test_all_targets_gone_is_a_complete_response_even_where_an_empty_mask_says_so():
    found = compare([lesion("a", 20), lesion("b", 15)], [gone("a")])
    assert found.response is Response.COMPLETE
    assert [change.fate for change in found.lesions] == [Fate.VANISHED, Fate.VANISHED]
    assert found.sum_mm == (35, 0)


def test_a_node_counts_by_its_short_axis_and_is_normal_below_ten_millimeters():
    before = [lesion("node", 30, short=18, node=True)]
    assert compare(before, [lesion("node", 28, short=9.9)]).response is Response.COMPLETE
    found = compare(before, [lesion("node", 28, short=10.0)])
    assert (found.sum_mm, found.response) == ((18, 10), Response.PARTIAL)


def test_a_new_lesion_is_progression_and_is_named():
    found = compare([lesion("a", 50)], [lesion("a", 20), lesion("b", 6)])
    assert found.response is Response.PROGRESSIVE
    assert found.reason == "a new lesion: b"
    assert found.lesions[1].fate is Fate.NEW
    assert found.sum_mm == (50, 20)  # a new lesion is no target


def test_a_new_node_of_normal_size_is_flagged_but_no_progression():
    found = compare([lesion("a", 50)], [lesion("a", 50), lesion("n", 15, short=8, node=True)])
    assert found.lesions[1].fate is Fate.NEW
    assert found.response is Response.STABLE


def test_what_is_no_target_is_listed_but_not_summed():
    found = compare([lesion("a", 50), lesion("b", 90, target=False)], [lesion("a", 50), lesion("b", 200)])
    assert found.sum_mm == (50, 50)
    assert found.response is Response.STABLE
    assert found.lesions[1].as_json()["diameter"]["percent"] == pytest.approx(122.2, abs=0.1)


def test_without_targets_there_is_no_category():
    found = compare([lesion("b", 90, target=False)], [lesion("b", 90)])
    assert found.response is None
    assert "no target" in found.reason


def test_more_than_five_targets_are_refused():
    with pytest.raises(SAM3DError, match="6 lesions are targets"):
        compare([lesion(f"L{n}", 20) for n in range(6)], [])


def test_two_lesions_of_one_name_are_refused():
    with pytest.raises(SAM3DError, match="are called 'a'"):
        compare([lesion("a", 20), lesion("a", 30)], [])


@pytest.mark.parametrize("growth", [0.6, 1.0, 1.5])
def test_measured_growth_of_a_ball_is_the_growth_it_was_made_with(a_ball, growth):
    visits = [[Lesion("ball", measure(*a_ball(radius, seed=3)))] for radius in (14.0, 14.0 * growth)]
    (change,) = compare(*visits).as_json()["lesions"]
    assert change["diameter"]["percent"] == pytest.approx((growth - 1) * 100, abs=3)
    assert change["volume"]["percent"] == pytest.approx((growth**3 - 1) * 100, rel=0.03, abs=1)


def test_the_report_is_json_and_has_no_percentage_of_nothing():
    report = json.loads(json.dumps(compare([lesion("a", 50)], [lesion("b", 6, ml=0.2)]).as_json()))
    appeared = report["lesions"][1]
    assert appeared["volume"] == {"before": 0, "after": 0.2, "difference": 0.2, "unit": "ml", "percent": None}
    assert report["recist_1_1"]["category"] == "progressive disease"
    assert np.isclose(report["sum_of_diameters"]["percent"], -100)
