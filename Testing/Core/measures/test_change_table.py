"""The change between two visits as rows, CSV and one sentence, with known answers."""

from __future__ import annotations

import csv
import io

import pytest

from inference_core.measures.change import Lesion, compare
from inference_core.measures.change_table import RULE, TITLES, change_csv, change_rows, conclusion
from inference_core.measures.diameters import AxialDiameters, Diameter
from inference_core.measures.measurements import Measurements


def lesion(name, mm, *, ml=1.0, **kind):
    line = Diameter((0.0, 0.0, 0.0), (mm, 0.0, 0.0))
    return Lesion(name, Measurements(100, ml, AxialDiameters(line, line, 2, 0), line, None), **kind)


@pytest.fixture
def a_change():
    before = [lesion("liver", 40.0, ml=10.0), lesion("gone", 20.0), lesion("other", 30.0, target=False)]
    after = [lesion("liver", 25.0, ml=4.0), lesion("other", 33.0), lesion("fresh", 12.0)]
    return compare(before, after)


def test_each_lesion_has_its_change_and_its_flag(a_change):
    rows = {row[0]: dict(zip(TITLES, row, strict=True)) for row in change_rows(a_change)}
    assert rows["liver"]["mm change"] == "-38 %"
    assert rows["liver"]["ml change"] == "-60 %"
    assert (rows["gone"]["mm after"], rows["gone"]["flag"]) == ("0.0", "vanished")
    assert (rows["fresh"]["mm change"], rows["fresh"]["flag"]) == ("", "new")
    assert (rows["other"]["RECIST"], rows["fresh"]["RECIST"]) == ("non-target", "")
    assert rows["sum of diameters"]["mm before"] == "60.0"
    assert rows["sum of diameters"]["mm after"] == "25.0"


def test_the_category_comes_with_the_part_of_the_rule_that_made_it(a_change):
    assert conclusion(a_change) == "RECIST 1.1: progressive disease; a new lesion: fresh."
    assert "20 % and 5 mm" in RULE


def test_the_csv_has_full_numbers_and_nothing_after_where_nothing_was_measured():
    change = compare([lesion("a", 30.0), lesion("b", 20.0)], [lesion("a", 20.0)], not_measured=["b"])
    rows = list(csv.DictReader(io.StringIO(change_csv(change))))
    assert rows[0]["change_percent_mm"] == "-33.33"
    assert (rows[1]["before_mm"], rows[1]["after_mm"], rows[1]["flag"]) == ("20", "", "not measured")
    assert conclusion(change).startswith("RECIST 1.1: no category; not evaluable")
