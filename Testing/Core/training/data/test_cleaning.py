"""SAM-Med3D's four cleaning steps, and the whole set's check, on oblique left-handed grids of known sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.training.data import Split, checks, read_data_set, split_by_patient
from inference_core.training.data.clean import write_cleaned
from inference_core.training.data.cleaning import CleaningRules, cleaned, findings_of, is_named_by_side


def turned(degrees=15.0):
    """From the body's axes to RAS: tilted a little, and with the first index running to the left."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    return turn @ np.diag([-1, 1, 1])


@pytest.fixture
def a_body() -> Grid:
    """60 x 40 x 20 voxels of 2 x 2.5 x 4 mm; i runs from the patient's right to the left."""
    affine = np.eye(4)
    affine[:3, :3] = turned() * (2.0, 2.5, 4.0)
    affine[:3, 3] = (17.0, -40.0, 90.0)
    return Grid((60, 40, 20), affine)


def blocks(grid, *places):
    """A label map: (value, i, j, k, size in voxels along each axis)."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, i, j, k, (a, b, c) in places:
        labels[i : i + a, j : j + b, k : k + c] = value
    return Volume(labels, grid, "labels")


BIG = (10, 8, 6)  # 20 x 20 x 24 mm, 9.6 ml


def only(labels, rules=None):
    (found,) = findings_of(labels, rules or CleaningRules())
    return found


@pytest.mark.parametrize(
    ("size", "small"),
    [
        (BIG, False),
        ((8, 6, 4), False),  # 16 x 15 x 16 mm, 3.84 ml
        ((8, 5, 4), True),  # 12.5 mm along j
        ((4, 4, 3), True),  # 0.96 ml
    ],
)
def test_a_mask_below_a_milliliter_or_15_mm_is_too_small(a_body, size, small):
    found = only(blocks(a_body, (3, 5, 5, 5, size)))
    assert found.too_small == small
    assert found.volume_mm3 == pytest.approx(np.prod(size) * 20)
    assert found.extent_mm == pytest.approx(np.multiply(size, (2, 2.5, 4)))


def test_a_mask_that_is_almost_all_background_is_too_rare(a_body):
    labels = blocks(a_body, (1, 5, 5, 5, BIG))
    assert only(labels).background == pytest.approx(1 - 480 / 48000)
    assert only(labels, CleaningRules(most_background=0.98)).too_rare
    assert not only(labels).too_rare


def test_a_flat_image_has_no_size_that_counts(a_body):
    flat = Grid((60, 40, 1), a_body.affine)
    assert not only(blocks(flat, (1, 5, 5, 0, (3, 3, 1)))).too_small


def test_the_five_largest_components_stay(a_body):
    sizes = [(n + 2, 6, 4) for n in range(7)]
    labels = blocks(a_body, *((1, 10 * (n % 6), 10 * (n // 6), 2, size) for n, size in enumerate(sizes)))
    result = cleaned(labels, CleaningRules(), split={})
    assert only(labels).components == 7
    assert only(Volume(result, a_body)).components == 5
    assert result.sum() == sum(a * b * c for a, b, c in sizes[2:])


def test_a_pair_becomes_the_patients_left_and_right(a_body):
    labels = blocks(a_body, (1, 5, 10, 5, BIG), (1, 45, 12, 6, BIG))
    assert only(labels).pair
    result = cleaned(labels, CleaningRules(), split={1: 7})
    assert set(np.unique(result[:30])) == {0, 7}  # i starts on the right
    assert set(np.unique(result[30:])) == {0, 1}


def test_a_single_part_of_a_pair_gets_the_side_of_the_image_that_it_is_on(a_body):
    for i, value in ((5, 7), (45, 1)):
        result = cleaned(blocks(a_body, (1, i, 10, 5, BIG)), CleaningRules(), split={1: 7})
        assert set(np.unique(result)) == {0, value}


@pytest.mark.parametrize(
    "other",
    [
        (1, 7, 30, 5, BIG),  # before it, not beside
        (1, 45, 12, 6, (8, 6, 4)),  # less than half its size
        (1, 15, 10, 5, BIG),  # in one piece with it
    ],
)
def test_parts_that_are_not_mirrored_are_no_pair(a_body, other):
    assert not only(blocks(a_body, (1, 5, 10, 5, BIG), other)).pair


@pytest.mark.parametrize(
    ("name", "sided"), [("left kidney", True), ("kidney_right", True), ("kidney", False), ("bright spot", False)]
)
def test_a_name_may_say_its_side(name, sided):
    assert is_named_by_side(name) == sided


@pytest.fixture
def a_set(tmp_path, put, a_body):
    """Four cases of kidneys and a tumor, each wrong in a way of its own but the first two."""
    folder = tmp_path / "set"
    kidneys = [(1, 5, 10, 5, BIG), (1, 45, 12, 6, BIG)]
    for name, more in (("a", [(2, 25, 20, 5, BIG)]), ("b", [(2, 25, 20, 5, (2, 2, 2))]), ("c", []), ("d", [])):
        put(folder / "imagesTr" / f"{name}_0000.nii.gz", ord(name), grid=a_body)
        put(folder / "labelsTr" / f"{name}.nii.gz", blocks(a_body, *kidneys, *more).array, grid=a_body)
    content = {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3},
        "file_ending": ".nii.gz",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a", "b", "c"], "val": ["d"]}]))
    return folder


def kinds(report):
    return {(found.kind, found.where) for found in report.findings}


def test_a_set_is_reported_class_by_class(a_set):
    report = checks.check(read_data_set(a_set))
    assert kinds(report) == {
        (checks.SMALL, "b"), (checks.ABSENT, "cyst"), (checks.PAIRED, "kidney"),
    }  # fmt: skip
    assert report.paired == (1,)
    assert "0.16 ml, 4 x 5 x 8 mm" in report.of(checks.SMALL)[0].detail


def test_a_class_that_is_to_stay_whole_is_no_pair(a_set):
    assert checks.check(read_data_set(a_set), whole=["kidney"]).paired == ()


def test_what_training_would_stumble_on_is_found(a_set, put, a_body):
    put(a_set / "labelsTr" / "a.nii.gz", np.zeros((60, 40, 19), dtype=np.uint8), grid=Grid((60, 40, 19), a_body.affine))
    put(a_set / "labelsTr" / "b.nii.gz", np.zeros(a_body.shape, dtype=np.uint8), grid=a_body)
    put(a_set / "labelsTr" / "c.nii.gz", blocks(a_body, (9, 5, 5, 5, BIG)).array, grid=a_body)
    put(a_set / "imagesTr" / "e_0000.nii.gz", 5, grid=a_body)
    (a_set / "imagesTr" / "f_0000.nii.gz").write_bytes(b"no image")
    found = kinds(checks.check(read_data_set(a_set)))
    assert {
        (checks.OFF_GRID, "a"), (checks.EMPTY, "b"), (checks.UNKNOWN, "c"), (checks.UNLABELED, "e"),
        (checks.UNREADABLE, "f"),
    } <= found  # fmt: skip


def test_an_image_on_both_sides_is_found_under_another_name_and_type(a_set, put, a_body):
    image = read_data_set(a_set)["a"].read().array.astype(np.float32)
    put(a_set / "imagesTr" / "d_0000.nii.gz", image, grid=a_body)
    (found,) = checks.check(read_data_set(a_set)).of(checks.DUPLICATE)
    assert found.detail == "'a' (train) and 'd' (validation) are one image"


def test_the_same_image_twice_on_one_side_is_no_finding(a_set, put, a_body):
    put(a_set / "imagesTr" / "b_0000.nii.gz", read_data_set(a_set)["a"].read().array, grid=a_body)
    assert not checks.check(read_data_set(a_set)).of(checks.DUPLICATE)


def test_folders_that_hold_one_class_of_several_are_found(tmp_path, put, a_body):
    for kind in ("liver", "spleen"):
        for n in range(2):
            put(tmp_path / kind / f"ct_{kind}" / "imagesTr" / f"{n}.nii.gz", n, grid=a_body)
            label = blocks(a_body, (1, 5, 10, 5, BIG)).array
            put(tmp_path / kind / f"ct_{kind}" / "labelsTr" / f"{n}.nii.gz", label, grid=a_body)
    report = checks.check(read_data_set(tmp_path))
    assert {found.where for found in report.of(checks.ONE_CLASS)} == {"ct_liver", "ct_spleen"}


def test_a_patient_on_two_sides_is_found(a_set):
    content = json.loads((a_set / "dataset.json").read_text())
    (a_set / "dataset.json").write_text(json.dumps(content | {"patients": {"a": "P", "d": "P"}}))
    (found,) = checks.check(read_data_set(a_set)).of(checks.SPLIT)
    assert "Patient 'P' is in train and validation" in found.detail


def test_a_cleaned_set_has_sides_and_no_specks_and_keeps_its_split(a_set, tmp_path, a_body):
    data = read_data_set(a_set)
    report = checks.check(data)
    assert write_cleaned(data, report, tmp_path / "out", rules=CleaningRules()) == {}
    again = read_data_set(tmp_path / "out")
    assert again.classes == {1: "kidney left", 2: "tumor", 3: "cyst", 4: "kidney right"}
    assert {name: set(np.unique(again[name].read_labels().array)) for name in "ab"} == {
        "a": {0, 1, 2, 4},
        "b": {0, 1, 4},
    }
    assert split_by_patient(again) == Split(("a", "b", "c"), ("d",))
    np.testing.assert_array_equal(again["c"].read().array, data["c"].read().array)
    assert again["c"].read_labels().grid.matches(a_body, tolerance_mm=1e-3)
    left = {found.kind for found in checks.check(again).findings}
    assert left == {checks.ABSENT}


def test_a_case_without_a_label_left_is_left_out(a_set, tmp_path, put, a_body):
    put(a_set / "labelsTr" / "c.nii.gz", blocks(a_body, (2, 5, 5, 5, (2, 2, 2))).array, grid=a_body)
    data = read_data_set(a_set)
    left_out = write_cleaned(data, checks.check(data), tmp_path / "out", rules=CleaningRules())
    assert left_out == {"c": "'c' has no label left"}
    assert split_by_patient(read_data_set(tmp_path / "out")).train == ("a", "b")


def test_a_folder_that_holds_something_else_is_not_cleaned_into(a_set):
    data = read_data_set(a_set)
    with pytest.raises(OutputError, match="holds something else"):
        write_cleaned(data, checks.check(data), a_set, rules=CleaningRules())


def without_cyst(folder):
    content = json.loads((folder / "dataset.json").read_text())
    del content["labels"]["cyst"]
    (folder / "dataset.json").write_text(json.dumps(content))


def require_trainable(folder, **settings):
    data = read_data_set(folder)
    checks.require_trainable([(data, split_by_patient(data))], **settings)


def test_a_sound_set_may_be_trained_on(a_set):
    require_trainable(a_set, classes=(1, 2))
    without_cyst(a_set)
    require_trainable(a_set)


def test_a_case_may_be_judged_that_is_trained_on(a_set):
    data = read_data_set(a_set)
    everyone = tuple(case.name for case in data.cases)
    checks.require_trainable([(data, Split(everyone, everyone))], classes=(1,))


def test_label_maps_are_read_until_every_class_was_seen(a_set):
    without_cyst(a_set)
    header_alone = (a_set / "labelsTr" / "c.nii.gz").read_bytes()[:600]
    (a_set / "labelsTr" / "c.nii.gz").write_bytes(header_alone)
    require_trainable(a_set)


def spoiled(kind, folder, put, grid):
    if kind == "size":
        put(
            folder / "labelsTr" / "d.nii.gz",
            np.zeros((60, 40, 19), dtype=np.uint8),
            grid=Grid((60, 40, 19), grid.affine),
        )
    elif kind == "unlabeled":
        (folder / "labelsTr" / "c.nii.gz").unlink()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("absent", "Class 'cyst' occurs in no case to train on; leave it out of dataset.json or --classes, or add"),
        ("size", "'d' has 60 x 40 x 19 voxels but its image 60 x 40 x 20; resample it"),
        ("unlabeled", "Case 'c' has an image without a label; add its label or leave the case out"),
    ],
)
def test_a_set_that_training_would_stumble_on_is_refused_by_one_sentence(a_set, put, a_body, kind, said):
    spoiled(kind, a_set, put, a_body)
    with pytest.raises(VolumeError, match=said):
        require_trainable(a_set)


def test_a_class_asked_for_that_no_label_holds_is_refused(a_set):
    with pytest.raises(VolumeError, match="Class '7' occurs in no case to train on"):
        require_trainable(a_set, classes=(1, 7))
