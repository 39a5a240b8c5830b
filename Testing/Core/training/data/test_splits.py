"""Splits: no patient on two sides, the set's own word first, the same answer every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_core.errors import OptionError, VolumeError
from inference_core.training.data import Case, DataSet, Split, patient_of, split_by_patient


def a_set(*names: str, split: dict[str, str] | None = None, folds=()) -> DataSet:
    split = split or {}
    cases = tuple(Case(name, patient_of(name), (Path(name),), Path(name), split.get(name)) for name in names)
    return DataSet("set", cases, {1: "tumor"}, ("CT",), folds)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("01_pre", "01"),
        ("01_post", "01"),
        ("BraTS2021_00012", "BraTS2021_00012"),
        ("sub-03_ses-2_T1w", "sub-03"),
        ("liver_17", "liver_17"),
        ("case_00004", "case_00004"),
        ("P7-Baseline", "P7"),
        ("P7_fu2", "P7"),
        ("pt_100", "pt_100"),
        ("STS_003_T1", "STS_003"),
        ("liver_post_01", "liver_post_01"),
    ],
)
def test_a_patient_is_what_stands_before_a_word_for_a_visit(name, patient):
    assert patient_of(name) == patient


def test_another_pattern_tells_patients_apart():
    assert patient_of("siteA-17-b", r"(site\w-\d+)-\w") == "siteA-17"


@pytest.mark.parametrize(("pattern", "said"), [("(", "no regular expression"), ("a+", "no group")])
def test_a_pattern_that_tells_no_patient_is_refused(pattern, said):
    with pytest.raises(OptionError, match=said):
        patient_of("a", pattern)


@given(patients=st.integers(2, 30), visits=st.integers(1, 3), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_no_patient_is_on_both_sides_and_no_case_is_lost(patients, visits, share, seed):
    data = a_set(*(f"{p:02}_v{v}" for p in range(patients) for v in range(visits)))
    split = split_by_patient(data, share=share, seed=seed)
    assert split.train
    assert split.validation
    assert not {name[:2] for name in split.train} & {name[:2] for name in split.validation}
    assert sorted(split.train + split.validation) == [case.name for case in data.cases]
    assert split == split_by_patient(data, share=share, seed=seed)


def test_folds_validate_each_patient_once():
    data = a_set(*(f"{p}_{visit}" for p in "abcdefg" for visit in ("pre", "post")))
    folds = [split_by_patient(data, share=0.25, fold=fold) for fold in range(4)]
    assert sorted(name for fold in folds for name in fold.validation) == sorted(case.name for case in data.cases)


def test_a_single_patient_is_trained_on():
    assert split_by_patient(a_set("a_pre", "a_post")) == Split(("a_pre", "a_post"), ())


def test_the_sets_own_validation_holds_and_the_rest_follows_its_patient():
    data = a_set("a_pre", "a_post", "b", "c", split={"a_pre": "validation", "b": "test"})
    assert split_by_patient(data) == Split(("c",), ("a_pre", "a_post"), ("b",))


def test_the_sets_own_folds_hold_and_a_case_they_leave_out_is_on_no_side():
    data = a_set("a", "b", "c", "d", folds=(Split(("a", "b"), ("c",)), Split(("c",), ("a",))))
    assert split_by_patient(data, fold=1) == Split(("c",), ("a",))
    assert split_by_patient(data) == Split(("a", "b"), ("c",))


def test_an_unlabeled_case_is_on_no_side():
    data = a_set("a", "b")
    bare = Case("u", "u", (Path("u"),), None)
    assert split_by_patient(DataSet("set", (*data.cases, bare), {1: "x"}, ("CT",))).of("u") is None


def test_a_patient_on_two_sides_of_the_sets_own_split_is_refused():
    with pytest.raises(VolumeError, match="Patient 'a' is in train and validation"):
        split_by_patient(a_set("a_pre", "a_post", "b", split={"a_pre": "validation", "a_post": "train"}))


@pytest.mark.parametrize("settings", [{"share": 0.0}, {"share": 1.0}, {"fold": 3}, {"fold": -1}])
def test_a_share_or_fold_that_makes_no_sense_is_refused(settings):
    with pytest.raises(OptionError, match=r"There is no fold|not between 0 and 1"):
        split_by_patient(a_set("a", "b", "c"), **settings)
