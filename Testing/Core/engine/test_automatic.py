"""Segmenting without prompts: which stacks are seen, how their answers are averaged, and where the labels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from support.scenes import SPEC, oblique_grid, spheres

from inference_core.engine.automatic import mean_probabilities, segment_automatically, stacks_over
from inference_core.errors import Cancelled, DeviceError, PromptError
from inference_core.geometry.grid import Grid
from inference_core.geometry.slices import slice_axis, slices_last
from inference_core.geometry.volume import Volume
from inference_core.models.registry import build_model
from inference_core.models.spec import Layout, PromptKind

DATA = Path(__file__).parents[2] / "Data" / "ma_sam"
THICK = 1  # the spacing (0.8, 0.8, 2.5) of `oblique_grid`
BY_ITSELF = replace(
    SPEC,
    window=replace(SPEC.window, shape=(32, 32, 5), layout=Layout.SLICES),
    prompt_kinds=frozenset({PromptKind.NONE}),
    classes=("bright", "dark"),
)


@dataclass
class ThresholdModel:
    """Calls voxels above 2/3 bright and those below 1/3 dark; keeps count of what it saw.

    Its answer is surer the nearer to the middle of the stack a slice is.
    """

    spec = BY_ITSELF
    device = "cpu"
    seen: list[tuple[int, ...]] = field(default_factory=list)
    slices: Volume | None = None

    def on(self, slices: Volume) -> ThresholdModel:
        self.slices = slices
        return self

    def classify(self, numbers: Sequence[int]) -> np.ndarray:
        self.seen.append(tuple(numbers))
        image = self.slices.array[:, :, list(numbers)]
        sure = np.array([0.1, 0.2, 0.4, 0.2, 0.1], dtype=np.float32)
        scores = np.stack([np.full(image.shape, 0.5), image > 2 / 3, image < 1 / 3]) * sure
        return (scores / scores.sum(axis=0)).astype(np.float32)


@pytest.fixture
def a_model() -> ThresholdModel:
    return ThresholdModel()


@pytest.fixture(params=[3, 17, 40])
def an_oblique_volume(request) -> Volume:
    """Two balls, a bright one and a dark one, on gray; 28 thick slices."""
    grid = oblique_grid(request.param, THICK)
    center = grid.center_ras
    bright = spheres(grid, [(center + (9, -4, 3), 12.0)])
    dark = spheres(grid, [(center - (14, 9, 8), 8.0)])
    return Volume((0.5 + 0.5 * bright - 0.5 * dark).astype(np.float32), grid)


@pytest.fixture(scope="module")
def the_official_run():
    with np.load(DATA / "volume.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def a_small_ma_sam():
    files = {"weights": DATA / "delta_auto.safetensors", "base": DATA / "base_small.safetensors"}
    return build_model("ma_sam", **files, device="cpu")


def test_each_class_becomes_a_label_where_it_is(a_model, an_oblique_volume) -> None:
    found = segment_automatically(an_oblique_volume, a_model)

    assert found.labels.grid == an_oblique_volume.grid
    assert found.labels.array.dtype == np.uint8
    assert np.array_equal(found.labels.array == 1, an_oblique_volume.array > 2 / 3)
    assert np.array_equal(found.labels.array == 2, an_oblique_volume.array < 1 / 3)
    assert found.voxels_of() == {"bright": (found.labels.array == 1).sum(), "dark": (found.labels.array == 2).sum()}
    assert min(found.voxels_of().values()) > 100
    assert all(len(set(np.diff(numbers)) - {0, 1}) == 0 for numbers in a_model.seen)


@pytest.mark.parametrize("quick", [False, True])
def test_only_the_slices_that_were_asked_for_are_labeled(a_model, an_oblique_volume, quick) -> None:
    whole = segment_automatically(an_oblique_volume, a_model, quick=quick).labels
    a_model.seen.clear()

    found = segment_automatically(an_oblique_volume, a_model, quick=quick, slices=(11, 14))

    ours, theirs = slices_last(found.labels).array, slices_last(whole).array
    assert np.array_equal(ours[:, :, 11:15], theirs[:, :, 11:15])
    assert ours[:, :, 11:15].any()
    assert not ours[:, :, :11].any()
    assert not ours[:, :, 15:].any()
    assert found.slices == (11, 14)
    assert found.stacks == len(a_model.seen) == (1 if quick else 8)


def test_the_exact_mode_sees_every_stack_and_repeats_the_last_slices() -> None:
    stacks = stacks_over(7, (0, 6), size=5, quick=False)
    assert [(stack.start, stack.stop) for stack in stacks] == [(k - 2, k + 3) for k in range(7)]
    votes = [sum(number in stack for stack in stacks) for number in range(-2, 9)]
    assert votes == [1, 2, 3, 4, 5, 5, 5, 4, 3, 2, 1]  # as the official counter, which starts at 1, less that 1


@pytest.mark.parametrize("count", [2, 4, 5, 6, 10, 13])
def test_the_quick_mode_shows_every_slice_in_as_few_stacks_as_can_be(count) -> None:
    stacks = stacks_over(count, (0, count - 1), size=5, quick=True)
    assert len(stacks) == -(-count // 5)
    assert {number for stack in stacks for number in stack} >= set(range(count))
    assert all(stack.start >= 0 and (stack.stop <= count or count < 5) for stack in stacks)


def test_which_quick_stack_shows_a_slice_does_not_depend_on_what_is_asked_for() -> None:
    whole = stacks_over(23, (0, 22), size=5, quick=True)
    for first in range(23):
        for last in range(first, 23):
            group = stacks_over(23, (first, last), size=5, quick=True)
            assert group == [stack for stack in whole if set(stack) & set(range(first, last + 1))]


def test_a_volume_of_fewer_slices_than_a_stack_repeats_its_last_one(a_model) -> None:
    volume = Volume(np.ones((6, 7, 2), np.float32), Grid((6, 7, 2), np.diag([1.0, -1.0, 4.0, 1.0])))
    assert segment_automatically(volume, a_model, quick=True).voxels_of() == {"bright": 84, "dark": 0}
    assert a_model.seen == [(0, 1, 1, 1, 1)]


def test_probabilities_are_means_over_the_stacks_that_hold_a_slice(a_small_ma_sam, the_official_run) -> None:
    """The official sums are divided by one more than the number of stacks, as its counter starts at 1."""
    volume = hounsfield(the_official_run)
    stacks = stacks_over(7, (0, 6), size=5, quick=False)
    reader = a_small_ma_sam.on(slices_last(volume))
    means = dict(mean_probabilities(reader, stacks, count=7, wanted=(0, 6), notify=lambda *_: None))

    counts = the_official_run["avg_cnt"][2:-2]
    for number in range(7):
        turned = means[number].transpose(0, 2, 1)[:, ::-1, ::-1][:, ::8, ::8]
        official = the_official_run["prob_stride8"][2 + number].transpose(2, 0, 1)
        assert np.abs(turned * (counts[number] - 1) / counts[number] - official).max() < 1e-4


def test_labels_are_the_official_runs(a_small_ma_sam, the_official_run) -> None:
    found = segment_automatically(hounsfield(the_official_run), a_small_ma_sam)

    differs = found.labels.array != the_official_run["prediction_xyz"]
    assert differs.sum() <= 3  # a voxel may be undecided: the least margin there is 6e-6
    assert sorted(np.unique(found.labels.array)) == [0, 1, 2, 3]
    assert found.classes == ("class 1", "class 2", "class 3")


def test_a_part_of_the_official_run_is_the_same_as_in_the_whole(a_small_ma_sam, the_official_run) -> None:
    volume = hounsfield(the_official_run)
    group = segment_automatically(volume, a_small_ma_sam, slices=(2, 3))
    differs = group.labels.array[:, :, 2:4] != the_official_run["prediction_xyz"][:, :, 2:4]
    assert differs.sum() <= 1
    assert group.stacks == 6


def test_slices_that_are_not_there_are_refused(a_model, an_oblique_volume) -> None:
    count = an_oblique_volume.array.shape[slice_axis(an_oblique_volume.grid)]
    for wanted in ((-1, 3), (5, 4), (0, count)):
        with pytest.raises(PromptError, match=f"has slices 0 to {count - 1}; give a first and a last"):
            segment_automatically(an_oblique_volume, a_model, slices=wanted)
    assert not a_model.seen


def test_progress_is_told_and_can_stop_the_work(a_model, an_oblique_volume) -> None:
    told = []

    def stop_halfway(stage, fraction) -> None:
        told.append((stage, fraction))
        if fraction >= 0.5:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        segment_automatically(an_oblique_volume, a_model, notify=stop_halfway)
    assert told[0] == ("classifying", 0.0)
    assert len(a_model.seen) == len(told) - 1 == 14


def test_a_lack_of_memory_is_told_in_one_sentence(a_model, an_oblique_volume, monkeypatch) -> None:
    def fail(_numbers):
        raise MemoryError

    monkeypatch.setattr(a_model, "classify", fail)
    with pytest.raises(DeviceError, match=r"^The memory ran out \(cpu\)"):
        segment_automatically(an_oblique_volume, a_model)


def test_voxels_that_are_no_numbers_are_background(a_small_ma_sam, an_oblique_volume) -> None:
    dark = an_oblique_volume.array <= an_oblique_volume.array.min()
    holes = Volume(np.where(dark, np.nan, an_oblique_volume.array), an_oblique_volume.grid)
    filled = Volume(np.nan_to_num(holes.array, nan=min(0.0, np.nanmin(holes.array))), an_oblique_volume.grid)
    found, wanted = (segment_automatically(volume, a_small_ma_sam, quick=True) for volume in (holes, filled))
    assert np.array_equal(found.labels.array, wanted.labels.array)


def hounsfield(run) -> Volume:
    return Volume(run["volume_xyz"], Grid(run["volume_xyz"].shape, np.diag([-0.7, 0.8, 3.0, 1.0])), "CT")
