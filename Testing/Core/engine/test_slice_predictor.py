"""Models of whole slices: which slices are asked for, with which prompts and priors, and where the answers land."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import numpy as np
import pytest
import torch
from support.scenes import SPEC, oblique_grid, spheres

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.model_calls import ModelCalls
from inference_core.engine.session import Session
from inference_core.engine.slice_predictor import SlicePredictor
from inference_core.errors import Cancelled, DeviceError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.slices import sliced_grid, slices_last
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded, Embedding
from inference_core.models.spec import Layout, ModelSpec, Padding, WindowSpec
from inference_core.prompts.encoding import WindowPrompts, cross_section
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

MARGIN = 3  # low-res logits are padded at the far end of the first axis, as a network's are
THICK = 1  # the spacing (0.8, 0.8, 2.5) of `oblique_grid`


@dataclass
class Asked:
    """What one decoding was given: the window's first slice, its prompts and its prior."""

    number: int
    prompts: WindowPrompts
    prior: np.ndarray | None


def spec_of(depth: int) -> ModelSpec:
    window = WindowSpec((64, 64, depth), (), Padding.EDGE, layout=Layout.SLICES)
    return ModelSpec(**{**vars(SPEC), "name": "flat", "title": "Flat", "window": window})


@dataclass
class FlatModel:
    """Believes that what is brighter than a half is the target, within the boxes if there are any."""

    volume: Grid
    spec: ModelSpec = field(default_factory=lambda: spec_of(1))
    device: str = "cpu"
    bias: float = 0.0
    encoded: list[int] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def first_slice(self, window: Grid) -> int:
        return int(np.rint(sliced_grid(self.volume).to_ijk(window.to_ras((0, 0, 0)))[2]))

    def encode(self, window) -> Embedding:
        assert window.array.dtype == np.float32
        assert window.array.shape == window.grid.shape
        self.encoded.append(self.first_slice(window.grid))
        return Embedding({"image": torch.from_numpy(window.array)}, window.grid)

    def decode(self, embedding, prompts, prior) -> Decoded:
        self.asked.append(Asked(self.first_slice(embedding.grid), prompts, prior))
        image = embedding.tensors["image"].numpy()
        logits = 8 * (image - 0.5) + self.bias
        i, j = np.ogrid[: image.shape[0], : image.shape[1]]
        for corners in prompts.boxes:
            for k in range(image.shape[2]):
                i0, j0, i1, j1 = cross_section(corners, k)
                logits[..., k][~((i >= i0) & (i <= i1) & (j >= j0) & (j <= j1))] = -10
        padded = np.pad(logits, ((0, MARGIN), (0, 0), (0, 0)), constant_values=99)
        return Decoded(padded.astype(np.float32), quality=0.5 + 0.01 * self.asked[-1].number)

    def to_voxels(self, low_res_logits, shape):
        assert low_res_logits.shape == (shape[0] + MARGIN, *shape[1:])
        return low_res_logits[: shape[0]]

    def to_low_res(self, logits):
        return np.pad(logits, ((0, MARGIN), (0, 0), (0, 0)))


@pytest.fixture(params=[(1, (0, 1, 2)), (37, (2, 0, 1)), (10, (0, 2, 1)), (28, (2, 1, 0))])
def an_oblique_grid(request) -> Grid:
    """Thick slices along any of the voxel axes, left- and right-handed."""
    orientation, order = request.param
    grid = oblique_grid(orientation, THICK, size_mm=45.0)
    return Grid(tuple(grid.shape[axis] for axis in order), grid.affine[:, [*order, 3]])


@pytest.fixture
def a_ball(an_oblique_grid):
    return an_oblique_grid.center_ras + np.array([3.0, -2.0, 2.0]), 11.0


@pytest.fixture
def a_volume(an_oblique_grid, a_ball) -> Volume:
    return Volume(spheres(an_oblique_grid, [a_ball]), an_oblique_grid, "ball")


@pytest.fixture
def a_model(an_oblique_grid) -> FlatModel:
    return FlatModel(an_oblique_grid)


@pytest.fixture
def a_session(a_volume, a_model) -> Session:
    return Session(a_volume, a_model)


@pytest.fixture
def a_click(a_ball) -> Click:
    return Click(tuple(a_ball[0]))


@pytest.fixture
def a_box(a_volume, a_ball) -> BoxPrompt:
    """Along the voxels, around the ball; its faces lie between voxels."""
    center = np.floor(a_volume.grid.to_ijk(a_ball[0]) + 0.5)
    size = 2 * np.ceil(13.0 / np.asarray(a_volume.grid.spacing)) + 1
    return BoxPrompt(Box3D.in_voxels(a_volume.grid, center_ijk=center, size_ijk=size))


def whole(prediction, volume) -> np.ndarray:
    """The mask with the slice axis last."""
    mask = prediction.mask.on(volume.grid.shape).astype(bool)
    return slices_last(Volume(mask, volume.grid)).array


def truth(volume) -> np.ndarray:
    return slices_last(volume).array > 0.5


def slice_of(volume, ras) -> int:
    return sliced_grid(volume.grid).voxel_of(ras)[2]


def on_slice(volume, a_ball, steps: int, *, aside=0.0) -> tuple[float, ...]:
    """A point `steps` slices from the ball's center and `aside` voxels from the axis through it."""
    sliced = sliced_grid(volume.grid)
    return tuple(sliced.to_ras(np.floor(sliced.to_ijk(a_ball[0]) + 0.5) + [aside, 0, steps]))


def test_a_click_segments_the_slice_that_it_lies_in_and_no_other(a_session, a_volume, a_click):
    found, wanted = whole(a_session.predict(PromptSet((a_click,))), a_volume), truth(a_volume)
    number = slice_of(a_volume, a_click.ras)
    assert np.array_equal(found[:, :, number], wanted[:, :, number])
    assert found[:, :, number].any()
    assert not np.delete(found, number, axis=2).any()


def test_a_model_is_shown_whole_slices_and_clicks_in_their_voxels(a_session, a_model, a_volume, a_click):
    a_session.predict(PromptSet((a_click,)))
    (asked,) = a_model.asked
    wanted = sliced_grid(a_volume.grid).to_ijk(a_click.ras)
    assert a_model.encoded == [asked.number] == [slice_of(a_volume, a_click.ras)]
    assert np.allclose(asked.prompts.points, [[wanted[0], wanted[1], wanted[2] - asked.number]])
    assert asked.prior is None


def test_a_box_segments_every_slice_that_it_crosses_and_nothing_beyond_it(a_session, a_volume, a_box):
    found = whole(a_session.predict(PromptSet((a_box,))), a_volume)
    ras = sliced_grid(a_volume.grid).to_ras(np.stack(np.indices(found.shape), axis=-1))
    assert np.array_equal(found, truth(a_volume) & a_box.box.contains(ras))
    assert found.any(axis=(0, 1)).sum() > 5


def test_an_oblique_box_gives_each_slice_the_rectangle_around_its_own_cut(a_session, a_model, a_volume, a_ball):
    box = Box3D(a_ball[0], np.linalg.qr(np.array([[1.0, 0.5, 0.2], [-0.4, 1.0, 0.3], [0.1, -0.4, 1.0]]))[0], [9, 7, 12])
    a_session.predict(PromptSet((BoxPrompt(box),)))
    corners = sliced_grid(a_volume.grid).to_ijk(box.corners_ras)
    low, high = corners[:, 2].min(), corners[:, 2].max()
    assert [asked.number for asked in a_model.asked] == list(range(int(np.ceil(low)), int(np.floor(high)) + 1))
    cuts = {tuple(np.round(cross_section(asked.prompts.boxes[0], 0), 6)) for asked in a_model.asked}
    wanted = {tuple(np.round(cross_section(corners, asked.number), 6)) for asked in a_model.asked}
    assert cuts == wanted
    assert len(cuts) == len(a_model.asked) > 3


def test_a_box_between_two_slices_asks_for_the_nearer_one(a_session, a_model, a_volume, a_ball):
    sliced = sliced_grid(a_volume.grid)
    center = np.floor(sliced.to_ijk(a_ball[0]) + 0.5) + [0, 0, 0.4]
    box = Box3D.in_voxels(sliced, center_ijk=center, size_ijk=(5, 5, 0.2))
    a_session.predict(PromptSet((BoxPrompt(box),)))
    assert [asked.number for asked in a_model.asked] == [round(center[2] - 0.4)]


def test_a_click_on_a_slice_of_a_box_asks_that_slice_again_with_both_and_its_prior(
    a_session, a_model, a_volume, a_ball, a_box
):
    click = Click(on_slice(a_volume, a_ball, 2))
    first = a_session.predict(PromptSet((a_box,)))
    before = {asked.number: asked for asked in a_model.asked}
    a_model.asked.clear()
    second = a_session.predict(PromptSet((a_box, click)))
    (again,) = a_model.asked
    assert again.number == slice_of(a_volume, click.ras)
    assert len(again.prompts.boxes) == len(again.prompts.points) == 1
    assert again.prior.shape == (
        sliced_grid(a_volume.grid).shape[0] + MARGIN,
        *sliced_grid(a_volume.grid).shape[1:2],
        1,
    )
    assert np.allclose(again.prior[:-MARGIN], first_logits(a_model, a_volume, before[again.number]))
    assert np.array_equal(whole(first, a_volume), whole(second, a_volume))


def first_logits(model, volume, asked) -> np.ndarray:
    grid = sliced_grid(volume.grid)
    window = grid.cropped((0, 0, asked.number), (*grid.shape[:2], asked.number + 1))
    image = torch.from_numpy(slices_last(volume).array[:, :, asked.number, None])
    fresh = FlatModel(volume.grid)
    return fresh.decode(Embedding({"image": image}, window), asked.prompts, None).low_res_logits[:-MARGIN]


def test_a_background_click_counts_once_its_slice_is_asked_for(a_session, a_model, a_volume, a_ball, a_click):
    elsewhere = Click(on_slice(a_volume, a_ball, 3, aside=2), positive=False)
    first = a_session.predict(PromptSet((a_click, elsewhere)))
    assert len(a_model.asked) == 1
    assert whole(first, a_volume).any(axis=(0, 1)).sum() == 1
    a_session.predict(PromptSet((a_click, elsewhere, Click(on_slice(a_volume, a_ball, 3)))))
    assert a_model.asked[-1].prompts.labels.tolist() == [0, 1]
    assert a_model.asked[-1].prior is None


def test_a_background_click_on_a_slice_asked_for_asks_it_again(a_session, a_model, a_volume, a_ball, a_click):
    aside = Click(on_slice(a_volume, a_ball, 0, aside=6), positive=False)
    found = a_session.predict(PromptSet((a_click, aside)))
    assert [asked.prompts.labels.tolist() for asked in a_model.asked] == [[1], [1, 0]]
    assert not found.mask.at(a_volume.grid.voxel_of(aside.ras))
    assert found.mask.at(a_volume.grid.voxel_of(a_click.ras))


def test_an_edit_decodes_only_the_slices_it_concerns(a_session, a_model, a_volume, a_ball, a_box):
    clicks = tuple(Click(on_slice(a_volume, a_ball, steps)) for steps in (0, 2, -2))
    prompts = PromptSet((*clicks[:2], a_box, clicks[2]))
    a_session.predict(prompts)
    a_model.encoded.clear()
    a_model.asked.clear()
    a_session.predict(prompts.moved(0, on_slice(a_volume, a_ball, 0, aside=3)))
    assert a_model.encoded == []
    assert {asked.number for asked in a_model.asked} == {slice_of(a_volume, clicks[0].ras)}


def test_the_answer_depends_on_the_prompts_and_not_on_how_they_were_reached(a_volume, a_model, a_ball, a_box):
    a_model.bias = -1.0
    clicks = tuple(Click(on_slice(a_volume, a_ball, steps, aside=steps)) for steps in (0, 1, 1, 3))
    wandering = Session(a_volume, a_model)
    wandering.predict(PromptSet(clicks[:1]))
    wandering.predict(PromptSet((clicks[3], a_box)))
    wandering.predict(PromptSet((*clicks, a_box)).moved(1, a_ball[0]))
    prompts = PromptSet((*clicks[:2], a_box, *clicks[2:]))
    found = whole(wandering.predict(prompts), a_volume)
    assert np.array_equal(found, whole(Session(a_volume, a_model).predict(prompts), a_volume))


def test_earlier_prompts_are_answered_again_bit_for_bit(a_session, a_volume, a_ball, a_box):
    given = [Click(on_slice(a_volume, a_ball, 4)), a_box, Click(on_slice(a_volume, a_ball, -3), positive=False)]
    runs = [PromptSet(tuple(given[:n])) for n in (1, 2, 3)]
    masks = [whole(a_session.predict(prompts), a_volume) for prompts in runs]
    assert len({mask.tobytes() for mask in masks}) == 3
    for prompts, expected in [*zip(runs, masks, strict=True)][::-1]:
        assert np.array_equal(whole(a_session.predict(prompts), a_volume), expected)


def test_progress_is_told_slice_by_slice_and_the_work_can_be_stopped_and_taken_up(a_volume, a_model, a_box):
    told, stop_at = [], [4]

    def notify(stage: str, fraction: float) -> None:
        told.append((stage, fraction))
        if len(a_model.encoded) >= stop_at[0]:
            raise Cancelled("The user stopped the work.")

    session = Session(a_volume, a_model)
    with pytest.raises(Cancelled):
        session.predict(PromptSet((a_box,)), notify=notify)
    assert len(a_model.encoded) == 4
    stop_at[0] = 10**6
    session.predict(PromptSet((a_box,)), notify=notify)
    count = len(a_model.asked) - 3  # three were decoded before the stop
    assert sorted(a_model.encoded) == sorted(set(a_model.encoded))
    assert len(a_model.encoded) == count
    fractions = [fraction for stage, fraction in told[-count:] if stage == "decoding"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx((count - 1) / count)


def test_an_initial_mask_is_the_first_answer_and_the_prior_of_its_slices(a_session, a_model, a_volume, a_ball):
    mask = Volume((a_volume.array > 0.7).astype(np.uint8), a_volume.grid)
    start = PromptSet().starting_from(mask)
    assert np.array_equal(whole(a_session.predict(start), a_volume), slices_last(mask).array != 0)
    assert not a_model.asked
    click = Click(on_slice(a_volume, a_ball, 1))
    found = whole(a_session.predict(start.with_(click)), a_volume)
    (asked,) = a_model.asked
    number = slice_of(a_volume, click.ras)
    assert asked.number == number
    wanted = slices_last(mask).array[:, :, number]
    assert np.array_equal(asked.prior[:-MARGIN, :, 0], np.where(wanted, 4, -4))
    assert np.array_equal(found[:, :, number], truth(a_volume)[:, :, number])
    assert np.array_equal(np.delete(found, number, axis=2), np.delete(slices_last(mask).array != 0, number, axis=2))


def test_an_initial_mask_may_lie_on_a_grid_of_its_own(a_session, a_volume, a_ball):
    there = oblique_grid(3, 0, degrees=(3.0, 8.0, -14.0), size_mm=40.0).affine.copy()
    there[:3, 3] = a_ball[0] - there[:3, :3] @ (20, 21, 19)
    grid = Grid((40, 40, 40), there)
    found = whole(a_session.predict(PromptSet().starting_from(Volume(spheres(grid, [a_ball]) > 0.5, grid))), a_volume)
    wanted = truth(a_volume)
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.95


def test_a_contradicted_click_changes_its_own_slice_only(a_volume, a_model, a_click):
    a_model.bias = -30.0
    found = whole(Session(a_volume, a_model).predict(PromptSet((a_click,))), a_volume)
    number = slice_of(a_volume, a_click.ras)
    assert found[:, :, number].sum() > 5
    assert not np.delete(found, number, axis=2).any()


def test_pieces_in_a_box_are_all_kept(an_oblique_grid, a_model):
    sliced = sliced_grid(an_oblique_grid)
    middle = np.floor((np.asarray(sliced.shape) - 1) / 2)
    balls = [(sliced.to_ras(middle + [-12, 0, -4]), 4.0), (sliced.to_ras(middle + [12, 0, 4]), 4.0)]
    volume = Volume(spheres(an_oblique_grid, balls), an_oblique_grid)
    box = BoxPrompt(Box3D.in_voxels(sliced, center_ijk=middle + [-12, 0, 0], size_ijk=[200, 200, 40]))
    found = Session(volume, a_model).predict(PromptSet((box,)))
    assert all(found.mask.at(an_oblique_grid.voxel_of(center)) for center, _ in balls)


def test_smoothing_does_not_reach_across_slices(a_volume, a_model, a_click):
    options = MaskOptions(smoothing_mm=3.0)
    found = whole(Session(a_volume, a_model).predict(PromptSet((a_click,)), options=options), a_volume)
    number = slice_of(a_volume, a_click.ras)
    wanted = truth(a_volume)[:, :, number]
    assert 2 * (found[:, :, number] & wanted).sum() / (found[:, :, number].sum() + wanted.sum()) > 0.9
    assert not np.delete(found, number, axis=2).any()


def test_the_quality_is_the_mean_over_the_slices(a_session, a_model, a_box):
    found = a_session.predict(PromptSet((a_box,)))
    assert found.quality == pytest.approx(0.5 + 0.01 * np.mean([asked.number for asked in a_model.asked]))


@dataclass
class StackModel(FlatModel):
    """Sees five slices; its logits depend on which of them a slice is."""

    spec: ModelSpec = field(default_factory=lambda: spec_of(5))

    def decode(self, embedding, prompts, prior) -> Decoded:
        decoded = super().decode(embedding, prompts, prior)
        return Decoded((decoded.low_res_logits + np.arange(5) - 2).astype(np.float32), decoded.quality)


@pytest.mark.parametrize("quick", [False, True], ids=["exact", "quick"])
def test_a_slice_of_stacks_has_the_mean_probability_of_those_that_hold_it(an_oblique_grid, a_volume, quick):
    """The exact stacks are centered on each slice, the first and the last slice repeated beyond the volume."""
    model = StackModel(an_oblique_grid)
    grid, voxels = sliced_grid(an_oblique_grid), slices_last(a_volume).array
    count = grid.shape[2]
    rim = BoxPrompt(Box3D.in_voxels(grid, center_ijk=(20.3, grid.shape[1] / 2, 1), size_ijk=(9, 400, 3)))
    calls = ModelCalls(model, EmbeddingCache(10**9))
    found = SlicePredictor(a_volume, model, calls, known=WeakValueDictionary(), quick=quick).next((), rim)
    assert [group.number for group in found] == [0, 1, 2]
    starts = [0] if quick else range(-2, 3)
    assert sorted(model.encoded) == sorted(asked.number for asked in model.asked) == list(starts)
    for group in found:
        low, _, high, _ = cross_section(grid.to_ijk(rim.box.corners_ras), 0)
        i = np.arange(grid.shape[0])
        logits = np.where((i >= low) & (i <= high), 8 * (voxels[:, :, group.number].T - 0.5), -10).T
        held = [group.number - start for start in starts if 0 <= group.number - start < 5]
        wanted = np.mean([1 / (1 + np.exp(-(logits + place - 2))) for place in held], axis=0)
        assert np.allclose(1 / (1 + np.exp(-group.base.logits[..., 0])), wanted, atol=1e-5)
    assert count > 10


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.30 GB)"),
    ],
)
def test_a_lack_of_memory_is_told_in_a_sentence_and_the_session_stays(a_session, a_model, a_click, a_box, error):
    before = a_session.predict(PromptSet((a_click,)))
    a_model.encode = lambda window: (_ for _ in ()).throw(error)
    with pytest.raises(DeviceError, match=r"^The memory ran out \(cpu\); close other programs, [^.]*\.$"):
        a_session.predict(PromptSet((a_click, a_box)))
    assert np.array_equal(a_session.predict(PromptSet((a_click,))).mask.array, before.mask.array)


def test_other_errors_of_the_library_are_not_taken_for_a_lack_of_memory(a_session, a_model, a_click):
    a_model.encode = lambda window: (_ for _ in ()).throw(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        a_session.predict(PromptSet((a_click,)))


def test_a_voxel_that_is_no_number_is_background_in_its_slice(a_model, a_volume, a_click):
    spoiled = a_volume.array.copy()
    far = np.unravel_index(spoiled.argmin(), spoiled.shape)
    spoiled[far] = np.nan
    found = whole(Session(Volume(spoiled, a_volume.grid), a_model).predict(PromptSet((a_click,))), a_volume)
    assert np.array_equal(found, whole(Session(a_volume, a_model).predict(PromptSet((a_click,))), a_volume))
