"""The papers' tables: their prompts, their means, and what is published beside them."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import SPEC, oblique_grid, spheres

from inference_core.errors import OptionError
from inference_core.evaluation.tables.definitions import AUTOMATIC, CLICKS, DICE, HD95, POINTS, RELAXED, TABLES, TIGHT
from inference_core.evaluation.tables.lines import csv_rows, lines_of, remarks, rows_of
from inference_core.evaluation.tables.prompting import answers, is_for, points
from inference_core.evaluation.tables.published import left_out, published, to_compare
from inference_core.evaluation.tables.scores import AVERAGE, Score, cells, measured
from inference_core.geometry.slices import slice_axis
from inference_core.models.registry import get_spec
from inference_core.training.data.recipes import RECIPES


@pytest.fixture
def a_grid():
    return oblique_grid(orientation=29, spacing=1, size_mm=40.0)


@pytest.fixture
def a_ball(a_grid):
    return spheres(a_grid, [(a_grid.center_ras, 9.0)]) > 0.5


def asked_of(settings, target, grid, *, answer=None, spec=SPEC):
    """The prompts that rows ask with, each answered by the same mask."""
    told = []

    def segment(prompts):
        told.append(prompts)
        return np.zeros(grid.shape, dtype=bool) if answer is None else answer

    found = list(answers(settings, segment, target, grid, spec=spec, seed=3))
    return told, found


def test_points_lie_in_the_target_and_are_given_at_once(a_grid, a_ball) -> None:
    told, found = asked_of(POINTS, a_ball, a_grid)

    assert [len(prompts.clicks) for prompts in told] == [1, 3, 10]
    assert [setting.name for setting, _ in found] == ["1 point", "3 points", "10 points"]
    assert all(click.positive and a_ball[a_grid.voxel_of(click.ras)] for click in told[2].clicks)
    again, _ = asked_of(POINTS, a_ball, a_grid)
    assert told == again


def test_a_model_of_slices_is_told_of_every_slice_of_the_target(a_grid, a_ball) -> None:
    axis = slice_axis(a_grid)
    shown = np.flatnonzero(a_ball.any(axis=tuple({0, 1, 2} - {axis})))
    clicks = points(a_ball, a_grid, count=2, by_slice=True, rng=np.random.default_rng(0))

    found = [a_grid.voxel_of(click.ras)[axis] for click in clicks]
    assert found == [n for n in shown for _ in range(2)]
    told, _ = asked_of(POINTS[:1], a_ball, a_grid, spec=get_spec("sam"))
    assert len(told[0].clicks) == len(shown)


def test_clicks_go_on_in_what_is_wrong_and_say_what_belongs_there(a_grid, a_ball) -> None:
    spilled = np.roll(a_ball, 4, axis=0)
    told, found = asked_of(CLICKS, a_ball, a_grid, answer=spilled)

    assert [len(prompts.clicks) for prompts in told] == list(range(1, 11))
    assert [setting.count for setting, _ in found] == [1, 3, 5, 10]
    for click in told[-1].clicks[1:]:
        at = a_grid.voxel_of(click.ras)
        assert click.positive == a_ball[at] != spilled[at]
    assert {click.positive for click in told[-1].clicks} == {True, False}


def test_a_perfect_answer_is_asked_no_more(a_grid, a_ball) -> None:
    told, found = asked_of(CLICKS, a_ball, a_grid, answer=a_ball)

    assert len(told) == 1
    assert len(found) == 4


def test_a_relaxed_box_is_wider_by_a_twentieth_on_either_side(a_grid, a_ball) -> None:
    told, _ = asked_of((TIGHT, RELAXED), a_ball, a_grid)

    tight, relaxed = (prompts.boxes[0].size for prompts in told)
    extent = [np.ptp(np.flatnonzero(a_ball.any(axis=tuple({0, 1, 2} - {n})))) + 1 for n in range(3)]
    assert np.sort(tight) == pytest.approx(np.sort(extent * np.asarray(a_grid.spacing)), rel=1e-6)
    assert relaxed == pytest.approx(1.1 * tight)


def test_rows_are_for_models_that_can_be_prompted_so() -> None:
    able = {name: [s.name for s in (AUTOMATIC, POINTS[0], TIGHT, CLICKS[0]) if is_for(s, get_spec(name))]
            for name in ("ma_sam", "ma_sam_box", "sam3d_lite", "medical_sam_adapter")}  # fmt: skip

    assert able["ma_sam"] == ["automatic"]
    assert able["ma_sam_box"] == ["tight box"]
    assert able["sam3d_lite"] == ["1 point", "tight box", "1 click"]
    assert able["medical_sam_adapter"][:2] == ["1 point", "tight box"]


def score(case, target, value, *, model="m", setting="automatic"):
    return Score(model, setting, case, target, dict.fromkeys(("Dice", "IoU", "HD", "HD95"), value))


def test_means_are_over_cases_first_and_then_over_columns() -> None:
    found = cells(TABLES["btcv"], [score("a", "liver", 90), score("b", "liver", 70), score("a", "spleen", 20)], DICE)

    assert {name: cell.value for name, cell in found.items()} == {"liver": 80, "spleen": 20, AVERAGE: 50}
    assert found[AVERAGE].count == 3


def test_distances_to_nothing_are_left_out_and_counted() -> None:
    scores = [score("a", "liver", 3.0), score("b", "liver", float("inf"))]
    found = cells(TABLES["btcv"], scores, HD95)

    assert (found["liver"].value, found["liver"].count, found["liver"].left_out) == (3.0, 1, 1)
    lines = lines_of(TABLES["amos"], [score("a", "liver", float("inf")) for _ in range(2)], {})[-1:]
    assert "m, automatic: 2 targets without a finite HD95." in remarks(TABLES["amos"], lines, {})


def test_sites_and_sequences_are_columns_of_their_own() -> None:
    prostate = cells(
        TABLES["prostate"], [score("HK_Case38", "prostate", 80), score("BMC_Case03", "prostate", 60)], DICE
    )
    assert list(prostate) == ["HK", "BMC", AVERAGE]
    endovis = cells(TABLES["endovis"], [score("seq_1", "thread", 10), score("seq_1", "clamps", 30)], DICE)
    assert endovis["seq_1"].value == 20


def test_measures_are_in_percent_and_millimeters(a_grid, a_ball) -> None:
    shifted = np.roll(a_ball, 1, axis=0)
    found = measured(TABLES["kits21"].measures, shifted, a_ball, a_grid.spacing)
    assert found["NSD"] == pytest.approx(100, abs=0.01), "one voxel is within 5 mm"
    assert 80 < found["Dice"] < 100


def test_every_published_number_names_its_source_a_row_and_a_measure() -> None:
    for table in TABLES.values():
        assert set(table.recipes) <= set(RECIPES), table.name
        rows = {setting.name for setting in table.settings}
        for line in published(table.name):
            assert line.source
            assert line.table
            assert line.values
            if line.families:
                assert line.setting in rows or line.setting.startswith("automatic") or "click" in line.setting
        assert published(table.name) or left_out(table.name)


def test_published_averages_are_the_means_of_their_columns() -> None:
    """A guard against slips in copying; two HD rows of the source do not add up themselves."""
    for line in published("btcv"):
        organs = [value for name, value in line.values.items() if name != AVERAGE]
        if organs and (line.measure, line.method) not in {("HD", "3D UX-Net"), ("HD", "nnFormer")}:
            assert np.mean(organs) == pytest.approx(line.values[AVERAGE], abs=0.06), line.method


def test_a_model_is_set_against_its_own_paper_and_else_against_the_rows_first() -> None:
    lines = published("btcv")
    for model, setting, method in (
        ("ma_sam", "automatic", "MA-SAM"), ("sam_med3d (run)", "1 click", "SAM-Med3D"),
        ("sam3d_lite", "10 clicks", "SAM-Med3D"),
    ):  # fmt: skip
        against = to_compare(lines, model=model, setting=setting, measure="Dice")
        assert against is not None
        assert against.method == method
    assert to_compare(lines, model="ma_sam", setting="tight box", measure="Dice") is None


def test_the_difference_is_measured_less_published() -> None:
    notes = {"recipe": "btcv", "paper": "ma_sam"}
    lines = lines_of(TABLES["btcv"], [score("a", "liver", 90.0, model="ma_sam")], notes)[:1]

    assert lines[0].difference("liver") == pytest.approx(90.0 - 96.9)
    rows = rows_of(TABLES["btcv"], lines, DICE, notes)
    assert rows[:3] == [
        ("row", "method", "liver"), ("automatic", "ma_sam", "90.00"), ("automatic", "less MA-SAM", "-6.90"),
    ]  # fmt: skip
    assert ("automatic", "nnU-Net (published)", "97.40") in rows
    assert ("Dice", "automatic", "ma_sam", "liver", 90.0, 1, 0, 96.9, "MA-SAM", -6.9) in list(csv_rows(lines))


def test_averages_over_other_columns_have_no_difference() -> None:
    notes = {"recipe": "btcv", "paper": "ma_sam"}
    some = lines_of(TABLES["btcv"], [score("a", "liver", 90.0, model="ma_sam")], notes)[0]
    assert some.difference(AVERAGE) is None
    organs = [name for name in published("btcv")[0].values if name != AVERAGE]
    every = lines_of(TABLES["btcv"], [score("a", organ, 90.0, model="ma_sam") for organ in organs], notes)[0]
    assert every.difference(AVERAGE) == pytest.approx(90.0 - 87.2)


def test_numbers_of_other_classes_are_set_beside_nothing() -> None:
    notes = {"recipe": "btcv", "paper": "medical_sam_adapter"}
    lines = lines_of(TABLES["btcv"], [score("a", "liver", 90.0, model="ma_sam")], notes)[:1]

    assert lines[0].difference("liver") is None
    assert any("set beside nothing here: MA-SAM" in remark for remark in remarks(TABLES["btcv"], lines, notes))


def test_an_unknown_row_is_refused() -> None:
    with pytest.raises(OptionError, match="no row '2 points'"):
        TABLES["kits21"].setting("2 points")
