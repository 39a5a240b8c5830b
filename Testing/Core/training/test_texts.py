"""Texts that name targets: templates, synonyms, a file, and which are drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inference_core.errors import OptionError
from inference_core.training.texts import read_texts, texts_by_templates

KIDNEYS = {1: "left kidney", 2: "right kidney", 7: "kidney tumor"}


def table_of(texts):
    return dict(zip(texts.texts, texts.values, strict=True))


def test_templates_name_every_class_by_its_synonyms_and_pairs_together() -> None:
    found = table_of(texts_by_templates(KIDNEYS))

    assert found["the left kidney"] == (1,)
    assert found["segment the right ren"] == (2,)
    assert found["kidney lesion"] == (7,)
    assert found["both kidneys"] == found["the kidneys"] == (1, 2)
    assert "both tumors" not in found


def test_a_file_names_unions(tmp_path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({"Nieren": ["left kidney", "right kidney"], " die  linke ": "left kidney"}))
    assert table_of(read_texts(path, KIDNEYS)) == {"Nieren": (1, 2), "die linke": (1,)}


@pytest.mark.parametrize(("content", "said"), [
    ([], "no table of texts"), ({"a": []}, "no list of classes for 'a'"), ({"a": ["liver"]}, "the class 'liver'"),
    ({" ": ["left kidney"]}, "cannot be used"), ({}, "no class that a text could name"),
])  # fmt: skip
def test_what_a_file_cannot_mean_is_said(tmp_path, content, said) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(content))
    with pytest.raises(OptionError, match=said):
        read_texts(path, KIDNEYS)


def test_a_text_is_drawn_of_what_is_there_and_its_target_is_the_union() -> None:
    texts, rng = texts_by_templates(KIDNEYS), np.random.default_rng(0)
    labels = np.array([[0, 1], [2, 0]])

    drawn = [texts.drawn(labels, rng) for _ in range(200)]
    assert all({1, 2} & set(texts.values[number]) for number in drawn)
    assert len(set(drawn)) > 10
    both = texts.texts.index("both kidneys")
    assert texts.target(both, labels).tolist() == [[False, True], [True, False]]
    assert texts.drawn(0 * labels, rng) is None
    assert texts.drawn(0 * labels, rng, absent=1.0) is not None
