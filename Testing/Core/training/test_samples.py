"""Samples of cases: that they are what their numbers say, and that a case is prepared once for all runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.labeled_sets import write_balls

from inference_core.errors import VolumeError
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.pools import Pool
from inference_core.training.samples import CaseSamples, PreparedStore


@pytest.fixture(scope="module")
def a_pool(tmp_path_factory) -> Pool:
    folder = write_balls(tmp_path_factory.mktemp("set") / "balls", cases=("a", "b"))
    return Pool(1.0, read_data_set(folder).cases)


class Preparing:
    """Counts which cases it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, case):
        self.asked.append(case.name)
        return {"image": case.read().array, "values": np.zeros(0, dtype=np.int64)}


def drawn(prepared, rng):
    return {"image": prepared["image"][:4, :4, :4] + rng.random(), "count": len(prepared["values"])}


def a_store(folder: Path, **parameters) -> PreparedStore:
    config = TrainConfig(folder / "run", cache=folder / "kept")
    return PreparedStore.of(config, "test", ("image", "values"), **parameters)


def samples(pool: Pool, prepare: Preparing, store: PreparedStore | None) -> CaseSamples:
    return CaseSamples([pool], prepare, drawn, seed=3, store=store)


def test_a_case_is_prepared_once_for_all_runs(a_pool, tmp_path):
    plain, first, second = Preparing(), Preparing(), Preparing()
    wanted = [samples(a_pool, plain, None)[number] for number in range(6)]
    for prepare in (first, second):
        found = [samples(a_pool, prepare, a_store(tmp_path, size=1))[number] for number in range(6)]
        assert all(
            (a["image"] == b["image"]).all() and a["count"] == b["count"] for a, b in zip(found, wanted, strict=True)
        )
    assert sorted(first.asked) == ["a", "b"]
    assert second.asked == []


def test_another_parameter_or_content_is_prepared_anew(a_pool, tmp_path):
    prepare = Preparing()
    case = a_pool.cases[0]
    one = Pool(1.0, (case,))
    samples(one, prepare, a_store(tmp_path, size=1))[0]
    samples(one, prepare, a_store(tmp_path, size=2))[0]
    samples(Pool(1.0, (replace(case, value=1),)), prepare, a_store(tmp_path, size=1))[0]
    samples(Pool(1.0, (replace(case, label=a_pool.cases[1].label),)), prepare, a_store(tmp_path, size=1))[0]
    assert len(prepare.asked) == 4


def test_two_cases_that_share_an_image_are_not_taken_for_one_another(a_pool):
    """As a file for each class gives them, or several channels or series in one file or folder."""
    case = a_pool.cases[0]
    pool = Pool(1.0, (case, replace(case, name="other", label=a_pool.cases[1].label)))
    prepare = Preparing()
    drawn_from = samples(pool, prepare, None)
    assert all(drawn_from[number] for number in range(6))
    assert sorted(prepare.asked) == ["a", "other"]


def test_cases_are_kept_in_the_run_where_no_folder_is_given(tmp_path):
    assert PreparedStore.of(TrainConfig(tmp_path / "run"), "test", ()).folder == tmp_path / "run" / "cache"


def test_a_set_without_anything_to_draw_is_refused(a_pool):
    with pytest.raises(VolumeError, match="No case has a target"):
        CaseSamples([a_pool], Preparing(), lambda prepared, rng: None, seed=0)[0]
