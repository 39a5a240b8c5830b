"""The table of lesions: RECIST's limits, the sum of diameters, and the same numbers as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest

from inference_core.errors import SAM3DError
from inference_core.measures.change import Lesion
from inference_core.measures.diameters import AxialDiameters, Diameter
from inference_core.measures.lesion_table import TABLE_COLUMNS, Entry, LesionTable, Role, check_targets
from inference_core.measures.measurements import Measurements, Statistics, measure


def lesion(name, mm, *, short=None, **kind):
    long, across = (Diameter((0.0, 0.0, 0.0), (n, 0.0, 0.0)) for n in (mm, mm / 2 if short is None else short))
    numbers = Measurements(100, 1.5, AxialDiameters(long, across, 2, 0), long, Statistics(40, 5, 41, 10, 80), "HU")
    return Lesion(name, numbers, **kind)


@pytest.fixture
def a_table():
    return LesionTable(
        (
            Entry(lesion("liver 1", 32.0, organ="liver"), "Mass", "completed"),
            Entry(lesion("node, left", 40.0, short=18.0, node=True), "Lymph node", "flagged"),
            Entry(lesion("lung", 12.0, target=False)),
        )
    )


def test_the_sum_takes_tumors_by_their_longest_diameter_nodes_by_their_short_axis_and_no_non_targets(a_table):
    assert a_table.sum_mm == 32.0 + 18.0
    assert [Role.of(entry.lesion).value for entry in a_table.entries] == ["target", "target node", "non-target"]


def test_five_targets_and_two_an_organ_are_taken_and_no_more():
    five = [lesion(f"L{n}", 20.0, organ=organ) for n, organ in enumerate(["liver", "Liver ", "lung", "lung", ""])]
    check_targets([*five, lesion("other", 20.0, target=False)])
    with pytest.raises(SAM3DError, match="5 target lesions at most"):
        check_targets([*five, lesion("sixth", 20.0)])
    with pytest.raises(SAM3DError, match=r"2 target lesions an organ at most.*3 of 'liver'"):
        check_targets([*five[:2], lesion("third", 20.0, organ="LIVER")])


def test_what_is_too_small_and_what_has_no_organ_is_said():
    small = [lesion("dot", 9.9), lesion("node", 30.0, short=14.9, node=True), lesion("fits", 10.0)]
    said = LesionTable(tuple(map(Entry, small))).cautions()
    assert "'dot' measures 9.9 mm" in said[0]
    assert "'node' has a short axis of 14.9 mm" in said[1]
    assert "organ of 3 targets is not said" in said[2]
    assert LesionTable((Entry(lesion("fits", 10.0, organ="liver")),)).cautions() == ()


def test_a_target_that_shrank_below_what_is_taken_for_one_is_no_mistake_at_a_later_visit():
    shrunk = (
        Entry(lesion("dot", 9.9, organ="liver")),
        Entry(lesion("knot", 30.0, short=14.9, node=True, organ="neck")),
    )
    assert len(LesionTable(shrunk).cautions()) == 2
    assert LesionTable(shrunk, is_baseline=False).cautions() == ()


def test_the_csv_has_the_numbers_with_units_in_the_names_and_keeps_commas_in_names(a_table):
    rows = list(csv.DictReader(io.StringIO(a_table.as_csv())))
    assert tuple(rows[0]) == TABLE_COLUMNS
    assert [row["name"] for row in rows] == ["liver 1", "node, left", "lung"]
    assert rows[1]["recist_mm"] == "18"
    assert rows[1]["longest_axial_mm"] == "40"
    assert rows[0]["volume_ml"] == "1.5"
    assert rows[0]["unit"] == "HU"


def test_the_json_has_every_number_with_its_unit(a_table):
    read = json.loads(json.dumps(a_table.as_json()))
    assert read["sum_of_diameters"] == {"value": 50.0, "unit": "mm", "targets": 2}
    assert read["lesions"][1]["recist_diameter"] == {"value": 18.0, "unit": "mm"}
    assert read["lesions"][0]["statistics"]["mean"] == {"value": 40, "unit": "HU"}
    assert "Not a medical device" in read["note"]


def test_the_text_can_be_pasted_into_a_spreadsheet(a_table):
    lines = [line.split("\t") for line in a_table.as_text().splitlines()]
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[1][4:7] == ["1.50 ml", "32.0 x 16.0 mm", "32.0 mm"]
    assert lines[-1] == ["Sum of diameters of 2 targets", "50.0 mm"]


def test_a_real_mask_and_an_empty_one_can_be_rows(a_ball):
    from inference_core.geometry.mask import EMPTY

    mask, volume = a_ball(8.0)
    table = LesionTable(
        (Entry(Lesion("ball", measure(mask, volume))), Entry(Lesion("none", measure(EMPTY, volume)))),
    )
    assert table.sum_mm == pytest.approx(16.0, abs=0.6)
    assert len(table.as_csv().splitlines()) == 3
    assert "none" in table.as_text()
