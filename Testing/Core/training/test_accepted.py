"""Accepted masks: pixel data alone, where the target lies, and gone when deleted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from support.labeled_sets import write_balls
from support.scenes import oblique_grid, spheres

from inference_core.errors import VolumeError
from inference_core.geometry.volume import Volume
from inference_core.io.prompts_json import read_prompts
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.text import TextPrompt
from inference_core.training.accepted import accept, accepted_cases
from inference_core.training.data.layouts import read_data_set

NAME = "DOE^JANE 1970-01-01 1.2.840.113619.2.55"


@pytest.fixture
def a_volume() -> Volume:
    grid = oblique_grid(orientation=17, spacing=2, size_mm=200.0)
    voxels = np.random.default_rng(0).integers(-100, 200, grid.shape).astype(np.int16)
    return Volume(voxels, grid, NAME)


@pytest.fixture
def a_mask(a_volume) -> np.ndarray:
    return spheres(a_volume.grid, [(a_volume.grid.center_ras, 9.0)]) > 0.5


@pytest.fixture
def some_prompts(a_volume) -> PromptSet:
    return PromptSet((Click(tuple(a_volume.grid.center_ras)), Click(tuple(a_volume.grid.center_ras + 15), False)))


def test_a_case_holds_image_mask_and_prompts_where_they_lie_together(tmp_path, a_volume, a_mask, some_prompts):
    accept(tmp_path / "mine", a_volume, a_mask, some_prompts)
    (case,) = read_data_set(tmp_path / "mine").cases
    image, labels = case.read(), case.read_labels()
    assert labels.array.sum() == a_mask.sum()
    np.testing.assert_array_equal(np.sort(image.array[labels.array > 0]), np.sort(a_volume.array[a_mask]))
    moved = read_prompts(tmp_path / "mine" / "prompts" / "case_0001.json").prompts
    shift = np.asarray(moved.prompts[0].ras) - np.asarray(some_prompts.prompts[0].ras)
    np.testing.assert_allclose(np.asarray(moved.prompts[1].ras) - np.asarray(some_prompts.prompts[1].ras), shift)
    for prompt, before in zip(moved.prompts, some_prompts.prompts, strict=True):
        here, there = image.grid.voxel_of(prompt.ras), a_volume.grid.voxel_of(before.ras)
        assert image.array[here] == a_volume.array[there]


def test_texts_are_not_kept_since_they_may_name_people(tmp_path, a_volume, a_mask, some_prompts):
    accept(
        tmp_path / "mine", a_volume, a_mask, PromptSet((TextPrompt("the lesion of Mrs. Doe"), *some_prompts.prompts))
    )
    written = b"".join(path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file())
    assert b"Doe" not in written
    kept = read_prompts(tmp_path / "mine" / "prompts" / "case_0001.json").prompts
    assert len(kept.prompts) == len(some_prompts.prompts)


def test_only_the_surroundings_of_the_target_are_kept(tmp_path, a_volume, a_mask, some_prompts):
    accept(tmp_path / "mine", a_volume, a_mask, some_prompts)
    image = read_data_set(tmp_path / "mine").cases[0].read()
    assert image.array.size < 0.5 * a_volume.array.size
    np.testing.assert_allclose(image.grid.center_ras, 0, atol=1e-4)


def test_no_byte_tells_whose_image_it_was(tmp_path, a_volume, a_mask, some_prompts):
    accept(tmp_path / "mine", a_volume, a_mask, some_prompts)
    for path in (path for path in (tmp_path / "mine").rglob("*") if path.is_file()):
        for content in everything_in(path):
            for part in (*NAME.split(), "JANE", "1970", str(tmp_path)):
                assert part.encode() not in content, f"{part} in {path.name}"


def everything_in(path: Path) -> list[bytes]:
    """A file's bytes, and those of a NRRD's voxels unpacked."""
    content = path.read_bytes()
    if path.suffix != ".nrrd":
        return [content]
    head, _, packed = content.partition(b"\n\n")
    assert packed[4:8] == b"\0\0\0\0", "no time in the gzip header"
    return [head, gzip.decompress(packed)]


def test_cases_are_numbered_and_deleted_one_by_one(tmp_path, a_volume, a_mask, some_prompts):
    for _ in range(3):
        accept(tmp_path, a_volume, a_mask, some_prompts)
    first, second, _ = accepted_cases(tmp_path)
    second.delete()
    assert [case.name for case in accepted_cases(tmp_path)] == ["case_0001", "case_0003"]
    assert not any(path.exists() for path in second.files)
    assert all(path.exists() for path in first.files)
    assert accept(tmp_path, a_volume, a_mask, some_prompts).name == "case_0004"


def test_an_empty_or_foreign_mask_is_refused_and_nothing_is_written(tmp_path, a_volume, a_mask, some_prompts):
    with pytest.raises(VolumeError, match="mask is empty"):
        accept(tmp_path / "mine", a_volume, np.zeros_like(a_mask), some_prompts)
    with pytest.raises(VolumeError, match="accept the mask of this image"):
        accept(tmp_path / "mine", a_volume, a_mask[1:], some_prompts)
    assert not (tmp_path / "mine").exists()


def test_a_folder_of_another_data_set_is_read_as_it_is(tmp_path):
    """Cases of nnU-Net that were not accepted here are none of ours."""
    assert accepted_cases(write_balls(tmp_path / "balls")) == []
