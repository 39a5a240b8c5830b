"""A newcomer takes two visits from load to a signed-off change table, SEG, SR, RTSTRUCT and reports, by the tutorial.

Every step is one of the tutorial's, done with mouse or keys. Each number that comes out is compared with one worked out
anew from the exported files alone (`support.independent_measures`).
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.html_pages import Page
from support.independent_measures import Series, across, masks_in_rtstruct, masks_in_seg, numbers_of
from support.panel_gestures import NAME, choose, export, open_section, write_in
from support.panel_scenes import press_cell, rest, texts_of
from support.visits_as_dicom import AFTER, BEFORE, glioblastoma_visits, synthetic_visits

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")

ROOT = Path(__file__).resolve().parents[2]
ROLE, REVIEW, CHANGE, ORGAN = 4, 5, 6, 7
TARGETS = ("one", "two")


def take_a_case_through(app, case, out, saved_as):
    """The tutorial, from loading to the exports of both visits; every lesion is signed off."""
    from Host.opening import openInput

    for folder in case.folders.values():
        openInput(folder)
    ui = app.panel.ui
    choose(app, ui.volumeSelector, BEFORE)
    rest(app)
    for row, (name, point) in enumerate(zip(TARGETS, case.points, strict=True)):
        if row:
            app.press("N")
            rest(app)
        click(app, point)
        write_in(app, ui.segmentsTable, row, NAME, name)
    open_section(app, ui.lesionsSection)
    for row in range(len(TARGETS)):
        press_cell(app, ui.lesionsTable, row, ROLE)
        write_in(app, ui.lesionsTable, row, ORGAN, case.organ)
        sign_off(app, row)
    put_out(app, out / BEFORE, saved_as)
    choose(app, ui.volumeSelector, AFTER)
    rest(app)
    choose(app, ui.earlierSelector, BEFORE)
    rest(app)
    choose(app, ui.alignSelector, case.how)
    app.pressButton(ui.followButton)
    logic = app.panel.logic
    assert app.waitUntil(lambda: not (logic.busy or logic.followUp.isRunning), seconds=300)
    rest(app)
    if case.new is not None:
        app.pressButton(ui.nextButton)
        click(app, case.new)
        write_in(app, ui.segmentsTable, len(TARGETS), NAME, "three")
        rest(app)
    for row in range(ui.lesionsTable.rowCount):
        sign_off(app, row)
    put_out(app, out / AFTER, saved_as)


def click(app, point):
    if app.panel.tools.active != "foreground":
        app.red.setFocus()
        app.press("A")
    app.click(app.red, point)
    rest(app)


def sign_off(app, row):
    """Go on with the review by clicks until it is done."""
    segments = app.panel.logic.segments
    for _ in range(4):
        if segments.status(segments.ids()[row]) == "completed":
            return
        press_cell(app, app.panel.ui.lesionsTable, row, REVIEW)
    raise AssertionError("the review never came to its end")


def put_out(app, folder, saved_as):
    """Everything that a study can be given out as."""
    folder.mkdir(parents=True)
    ui = app.panel.ui
    for button, name in (
        (ui.saveTableButton, "lesions.csv"), (ui.saveTableButton, "lesions.json"),
        (ui.reportButton, "report.html"), (ui.reportButton, "report.pdf"),
    ):  # fmt: skip
        saved_as(folder / name)
        app.pressButton(button)
        rest(app)
    saved_as(folder / "lesions.seg.dcm")
    export(app, "DICOM SEG, report")
    app.pressButton(ui.copyTableButton)
    (folder / "copied.txt").write_text(QtWidgets.QApplication.clipboard().text())
    assert not ui.messageFrame.visible, ui.messageLabel.text


def found_anew(case, out):
    """Of each visit, the lesions' numbers by their names, worked out from series and SEG."""
    found = {}
    for visit, folder in case.folders.items():
        series = Series.read(folder)
        masks = masks_in_seg(out / visit / "lesions.seg.dcm", series)
        found[visit] = series, masks, {name: numbers_of(mask, series) for name, mask in masks.items()}
    return found


def assert_files_refer_to_their_series(series, folder):
    """By patient, study, series and frame of reference; the report to the SEG too."""
    header = series.header
    seg, sr, rt = (pydicom.dcmread(folder / f"lesions.{kind}.dcm") for kind in ("seg", "sr", "rt"))
    for dataset in (seg, sr, rt):
        assert (dataset.PatientID, dataset.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    assert seg.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"SEMIAUTOMATIC"}
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in sr.CurrentRequestedProcedureEvidenceSequence
        for each in study.ReferencedSeriesSequence
        for item in each.ReferencedSOPSequence
    }
    assert evidence == {*series.uids, seg.SOPInstanceUID}
    named = {
        image.ReferencedSOPInstanceUID
        for roi in rt.ROIContourSequence
        for contour in roi.ContourSequence
        for image in contour.ContourImageSequence
    }
    assert named <= set(series.uids)


def assert_structures_are_the_segments(series, masks, folder):
    structures = masks_in_rtstruct(folder / "lesions.rt.dcm", series)
    assert structures.keys() == masks.keys()
    for name, mask in masks.items():
        assert np.array_equal(structures[name], mask), name


def assert_table_is_right(series, masks, numbers, folder, *, unit):
    """Each cell of the CSV; the short axis is measured across the line that the report draws."""
    rows = {row["name"]: row for row in csv.DictReader((folder / "lesions.csv").read_text().splitlines())}
    assert rows.keys() == numbers.keys()
    drawn = lines_in_report(series, folder / "lesions.sr.dcm", masks)
    for name, expected in numbers.items():
        row, (start, end) = rows[name], drawn[name]
        assert int(row["voxels"]) == expected.voxels
        close(row["volume_ml"], expected.ml)
        close(row["longest_axial_mm"], expected.axial_mm)
        close(row["longest_3d_mm"], expected.longest_mm)
        assert any(same_line((start, end), ends) for ends in expected.long_ends), name
        short = across(masks[name], series, np.array([start, end]))
        assert float(row["perpendicular_mm"]) == pytest.approx(short, abs=0.1)
        for column, value in (("mean", expected.mean), ("sd", expected.sd), ("median", expected.median)):
            close(row[column], value)
        assert (float(row["min"]), float(row["max"])) == (expected.least, expected.most)
        close(row["recist_mm"], expected.axial_mm)
        assert row["unit"] == unit
        assert row["review"] == "completed"


def close(text, value):
    """Six digits are written."""
    assert float(text) == pytest.approx(value, rel=2e-5)


def same_line(one, other):
    return np.allclose(one, other, atol=0.01) or np.allclose(one[::-1], other, atol=0.01)


def lines_in_report(series, path, masks):
    """The ends (2, 3) of each lesion's long axis, LPS mm, as the report draws it; its numbers agree with its lines."""
    report = hd.sr.srread(path).content
    groups = [*report.get_planar_roi_measurement_groups(), *report.get_image_measurement_groups()]
    groups += report.get_volumetric_roi_measurement_groups()
    seg = pydicom.dcmread(path.with_name(path.name.replace(".sr.", ".seg.")))
    names = {segment.TrackingUID: segment.SegmentLabel for segment in seg.SegmentSequence}
    assert {names[group.tracking_uid] for group in groups} == masks.keys()
    found = {}
    for group in groups:
        for item in group.get_measurements():
            if item.name.meaning == "Volume":
                close(item.value, masks[names[group.tracking_uid]].sum() * series.voxel_ml)
            if item.name.meaning == "Long Axis":
                (drawn,) = [part for part in item[0].ContentSequence if part.ValueType.startswith("SCOORD")]
                ends = ends_of(drawn, series)
                close(item.value, np.linalg.norm(ends[0] - ends[1]))
                found[names[group.tracking_uid]] = ends
    return found


def ends_of(drawn, series):
    if drawn.ValueType == "SCOORD3D":
        return np.array(drawn.GraphicData, float).reshape(2, 3)
    k = series.uids.index(drawn.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    columns_rows = np.array(drawn.GraphicData, float).reshape(2, 2) - 0.5
    return series.points(np.column_stack([[k, k], columns_rows[:, ::-1]]))


def category_of(before, after, *, isNew):
    """RECIST 1.1 of two sums, written down once more; the smallest sum so far is the first."""
    if isNew:
        return "progressive disease"
    if after == 0:
        return "complete response"
    if after - before >= max(5, 0.2 * before):
        return "progressive disease"
    return "partial response" if before - after >= 0.3 * before else "stable disease"


def assert_change_is_right(case, found, folder, app):
    """The change table in the JSON, the CSV beside the table, the copied text, the page and the panel."""
    before, after = found[BEFORE][2], found[AFTER][2]
    change = json.loads((folder / "lesions.json").read_text())["change"]
    rows = {row["name"]: row for row in csv.DictReader((folder / "lesions_change.csv").read_text().splitlines())}
    sums = tuple(sum(numbers[name].axial_mm for name in TARGETS) for numbers in (before, after))
    for lesion in change["lesions"]:
        name = lesion["name"]
        for key, attribute, unit in (("diameter", "axial_mm", "mm"), ("volume", "ml", "ml")):
            old, new = (getattr(numbers[name], attribute) if name in numbers else 0.0 for numbers in (before, after))
            assert lesion[key]["unit"] == unit
            assert lesion[key]["before"] == pytest.approx(old, rel=1e-5)
            assert lesion[key]["after"] == pytest.approx(new, rel=1e-5)
            close(rows[name][f"before_{unit}"], old)
            close(rows[name][f"after_{unit}"], new)
            if old:
                assert lesion[key]["percent"] == pytest.approx(100 * (new - old) / old, rel=1e-4)
                assert float(rows[name][f"change_percent_{unit}"]) == pytest.approx(100 * (new - old) / old, rel=1e-3)
        assert lesion["flag"] == rows[name]["flag"] == ("" if name in before else "new")
    assert [lesion["name"] for lesion in change["lesions"]] == list(after)
    assert (change["sum_of_diameters"]["before"], change["sum_of_diameters"]["after"]) == pytest.approx(sums, rel=1e-5)
    category = category_of(*sums, isNew=case.new is not None)
    assert change["recist_1_1"]["category"] == category
    said = app.panel.ui.changeLabel.text
    assert f"Sum of diameters {sums[0]:.1f} mm, now {sums[1]:.1f} mm" in said
    shown = [f"{100 * (after[name].axial_mm / before[name].axial_mm - 1):+.0f} %" for name in TARGETS]
    assert texts_of(app.panel.ui.lesionsTable, CHANGE) == shown + ["new"] * (case.new is not None)
    for text in (said, (folder / "copied.txt").read_text(), (folder / "report.html").read_text()):
        assert f"RECIST 1.1: {category}; " in text


def assert_pages_are_right(found, folder, case):
    """Numbers of the page's tables as people read them; the PDF has the same words, and neither has a name."""
    pypdf = pytest.importorskip("pypdf")
    before, after = found[BEFORE][2], found[AFTER][2]
    page = (folder / "report.html").read_text()
    rows = {row[0]: row for row in Page(page).rows if len(row) == 10}
    changes = {row[0]: row for row in Page(page).rows if len(row) == 9}
    document = pypdf.PdfReader(folder / "report.pdf")
    printed = "".join("".join(sheet.extract_text() for sheet in document.pages).split())
    for name, numbers in after.items():
        assert rows[name][4] == f"{numbers.ml:.2f} ml"
        assert rows[name][5].startswith(f"{numbers.axial_mm:.1f} x ")
        assert rows[name][6] == f"{numbers.longest_mm:.1f} mm"
        assert rows[name][9] == "completed"
        old = before[name].axial_mm if name in before else 0.0
        assert changes[name][2:4] == [f"{old:.1f}", f"{numbers.axial_mm:.1f}"]
        for cell in (*rows[name], *changes[name]):
            assert "".join(cell.split()) in printed, cell
    assert page.count("<img") == len(after)
    for words in ("Not a medical device", "weights sha256"):
        assert words in page
        assert "".join(words.split()) in printed
    for secret in ("Newcomer", str(found[AFTER][0].header.PatientID), case.folders[AFTER].parent.name):
        assert secret not in page
        assert secret not in printed


def assert_everything_is_right(app, case, out):
    found = found_anew(case, out)
    for visit, (series, masks, numbers) in found.items():
        assert_files_refer_to_their_series(series, out / visit)
        assert_structures_are_the_segments(series, masks, out / visit)
        assert_table_is_right(series, masks, numbers, out / visit, unit=case.unit)
    assert_change_is_right(case, found, out / AFTER, app)
    assert_pages_are_right(found, out / AFTER, case)
    return found


SYNTHETIC = {
    "partial response": (((9.0, 7.5), (5.5, 5.0)), False),
    "stable disease": (((8.0, 7.0), (7.5, 7.0)), False),
    "progressive disease": (((7.0, 6.0), (7.0, 6.0)), True),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("category", SYNTHETIC)
def test_two_synthetic_visits_come_out_with_right_numbers_and_the_category_they_were_made_for(
    an_app, tmp_path, saved_as, category
):
    radii, isNew = SYNTHETIC[category]
    case, out = synthetic_visits(tmp_path / "series", radii, isNew=isNew), tmp_path / "out"
    take_a_case_through(an_app, case, out, saved_as)
    found = assert_everything_is_right(an_app, case, out)
    change = json.loads((out / AFTER / "lesions.json").read_text())["change"]
    assert change["recist_1_1"]["category"] == category
    for numbers, made in zip((found[BEFORE][2], found[AFTER][2]), radii, strict=True):
        for name, radius in zip(TARGETS, made, strict=True):
            assert numbers[name].axial_mm == pytest.approx(2 * radius, abs=3.5)


@pytest.mark.timeout(900)
def test_a_glioblastoma_before_and_after_treatment_comes_out_with_right_numbers(an_app, tmp_path, saved_as):
    case = glioblastoma_visits(tmp_path / "series")
    take_a_case_through(an_app, case, tmp_path / "out", saved_as)
    assert_everything_is_right(an_app, case, tmp_path / "out")


def test_all_buttons_that_the_tutorial_names_are_in_the_panel(an_app):
    tutorial = (ROOT / "Resources" / "Docs" / "tutorial.md").read_text()
    named = set(re.findall(r"\*\*([^*\n]+)\*\*", tutorial))
    assert len(named) > 12
    widgets = vars(an_app.panel.ui).values()
    shown = {str(getattr(widget, "text", "")).rstrip(":") for widget in widgets}
    assert named - shown == set()
