"""The official script's geometry against a run of it (Testing/Data/sam_med3d/README.md), and on turned grids."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from inference_core.engine.original_pipeline import predict_as_original
from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.io.itk import volume_from_sitk
from inference_core.models.registry import get_spec
from inference_core.models.sam_med3d.model import build, foreground_zscore
from inference_core.models.sam_med3d.original_window import (
    canonical,
    crop_or_pad,
    original_mask_on,
    original_volume,
    original_window,
    resampled_grid,
)
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

DATA = Path(__file__).parents[3] / "Data" / "sam_med3d"
CATEGORIES = (1, 3, 7)
SIZE = 64


@pytest.fixture(scope="module")
def the_official_run():
    with np.load(DATA / "oblique.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def an_oblique_volume():
    return volume_as_the_script_reads_it("oblique_image.nii.gz")


@pytest.fixture(scope="module")
def a_small_model():
    return build(get_spec("sam_med3d"), DATA / "small.safetensors", "cpu")


def label_of(category):
    labels = volume_as_the_script_reads_it("oblique_label.nii.gz")
    return Volume(labels.array == category, labels.grid)


def volume_as_the_script_reads_it(name):
    """By ITK, whose spacing and direction differ from the file's matrix in the eighth digit: enough to move ties."""
    return volume_from_sitk(sitk.ReadImage(DATA / name))


def packed(mask):
    return np.packbits(np.ascontiguousarray(mask).ravel())


def test_the_canonical_volume_is_the_scripts(an_oblique_volume, the_official_run):
    volume = original_volume(an_oblique_volume)
    assert volume.grid.shape == tuple(the_official_run["canonical_shape"])
    assert np.abs(volume.grid.affine - the_official_run["canonical_affine_ras"]).max() < 1e-12
    assert volume.array.dtype == np.int16


def test_the_canonical_volume_of_later_torchio_versions_shares_the_center(an_oblique_volume, the_official_run):
    volume = original_volume(an_oblique_volume, centered=True)
    assert volume.grid.shape == tuple(the_official_run["centred/canonical_shape"])
    assert np.abs(volume.grid.affine - the_official_run["centred/canonical_affine_ras"]).max() < 1e-12
    window = original_window(an_oblique_volume, label=label_of(1), size=SIZE, centered=True)
    assert np.abs(window.grid.affine - the_official_run["centred/cat1/roi_affine_ras"]).max() < 1e-12


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_window_around_a_label_is_the_scripts(an_oblique_volume, the_official_run, category):
    label = label_of(category)
    window = original_window(an_oblique_volume, label=label, size=SIZE)
    assert np.array_equal(window.grid.affine, the_official_run[f"cat{category}/roi_affine_ras"])
    whole = original_volume(label, labels=True)
    begin = np.rint(whole.grid.to_ijk(window.grid.affine[:3, 3]))
    cut = crop_or_pad(whole, begin, size=SIZE)
    assert np.array_equal(packed(cut.array > 0), the_official_run[f"cat{category}/roi_label_packbits"])


def test_the_window_shows_the_network_the_very_same_numbers(an_oblique_volume, the_official_run):
    window = original_window(an_oblique_volume, label=label_of(1), size=SIZE)
    shown = foreground_zscore(torch.from_numpy(window.array)).numpy()
    assert np.array_equal(shown, the_official_run["cat1/roi_image"])


@pytest.mark.parametrize("clicks", [1, 3])
def test_masks_on_the_original_grid_are_the_scripts(an_oblique_volume, a_small_model, the_official_run, clicks):
    final = np.zeros(an_oblique_volume.grid.shape, dtype=np.uint8)
    for category in CATEGORIES:
        name = f"nc{clicks}/cat{category}/"
        window = original_window(an_oblique_volume, label=label_of(category), size=SIZE)
        logits = last_logits(a_small_model, window, the_official_run, name=name)
        assert np.abs(logits - the_official_run[f"{name}low_res_last"]).max() < 1e-4
        fine = upsampled(logits)
        bits = the_official_run[f"{name}roi_pred_packbits"]
        theirs = np.unpackbits(bits, count=fine.size).reshape(fine.shape).astype(bool)
        # A logit of rounding noise may fall on either side of zero, by the order in which a kernel adds.
        differs = (fine > 0) != theirs
        assert differs.sum() <= 2
        assert (np.abs(fine[differs]) < 1e-4).all()
        laid = original_mask_on(an_oblique_volume.grid, Volume(theirs, window.grid))
        assert np.array_equal(packed(laid.array.T), the_official_run[f"{name}orig_zyx_packbits"])
        final[laid.array] = category
    assert np.array_equal(final.T, the_official_run[f"nc{clicks}/final_zyx"])


def last_logits(model, window, run, *, name):
    embedding, prior = model.encode(window), None
    points, labels = run[f"{name}clicks"].astype(np.float64), run[f"{name}labels"]
    for given in range(1, len(points) + 1):
        prompts = WindowPrompts(points[:given], labels[:given], np.zeros((0, 8, 3)))
        prior = model.decode(embedding, prompts, prior).low_res_logits
    return prior


def upsampled(logits):
    return F.interpolate(torch.from_numpy(logits)[None, None], size=(SIZE,) * 3, mode="trilinear")[0, 0].numpy()


def turned_grid(order, signs):
    """A grid of 24 x 30 x 18 voxels with the patient's axes in another order and direction, 9 degrees off."""
    c, s = np.cos(0.15), np.sin(0.15)
    tilt = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = (tilt * np.array(signs))[:, list(order)] * np.array([0.9, 1.7, 2.4])
    affine[:3, 3] = (12.0, -31.0, 7.0)
    return Grid((24, 30, 18), affine)


GRIDS = [turned_grid(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.axis_codes)
def test_every_orientation_becomes_canonical_without_moving_a_voxel(grid):
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    turned = canonical(Volume(array, grid))
    assert turned.grid.axis_codes == "RAS"
    places = np.argwhere(turned.array >= 0)[::97]
    back = np.rint(grid.to_ijk(turned.grid.to_ras(places))).astype(int)
    assert np.array_equal(array[tuple(back.T)], turned.array[tuple(places.T)])


@pytest.mark.parametrize("grid", GRIDS[::5], ids=lambda grid: grid.axis_codes)
def test_a_click_lands_in_the_windows_middle(grid):
    click = grid.to_ras((11.2, 17.9, 6.3))
    window = original_window(Volume(np.ones(grid.shape, np.int16), grid), center_ras=click, size=32)
    assert np.abs(window.grid.to_ijk(click) - 16).max() <= 0.5
    assert window.grid.axis_codes == "RAS"
    assert np.allclose(window.grid.spacing, 1.5)


@pytest.mark.parametrize("grid", GRIDS[::7], ids=lambda grid: grid.axis_codes)
def test_a_mask_goes_there_and_back_to_its_place(grid):
    target = np.linalg.norm(np.indices(grid.shape).T * grid.spacing - (10.0, 25.0, 20.0), axis=-1).T < 9
    window = original_window(Volume(target.astype(np.float32), grid), label=Volume(target, grid), size=32)
    back = original_mask_on(grid, Volume(window.array > 0.5, window.grid))
    overlap = 2 * (back.array & target).sum() / (back.array.sum() + target.sum())
    assert overlap > 0.9


def test_integers_lose_their_fraction_and_floats_do_not():
    grid = Grid((8, 8, 8), np.diag([1.0, 1.0, 1.0, 1.0]))
    ramp = np.broadcast_to(np.arange(-4, 4)[:, None, None], grid.shape)
    as_float = original_volume(Volume(ramp.astype(np.float32), grid), spacing=1.5).array[1:4, 2, 2]
    as_integer = original_volume(Volume(ramp.astype(np.int16), grid), spacing=1.5).array[1:4, 2, 2]
    assert np.allclose(as_float, [-2.25, -0.75, 0.75])
    assert as_integer.tolist() == [-2, 0, 0]


def test_beyond_the_volume_the_window_is_zero_and_no_mask():
    grid = GRIDS[11]
    window = original_window(
        Volume(np.full(grid.shape, 50, np.int16), grid), center_ras=grid.to_ras((0, 0, 0)), size=48
    )
    inside = np.array([grid.contains(ras) for ras in window.grid.to_ras(np.argwhere(window.array == 0)[::211])])
    assert (window.array == 0).any()
    assert not inside.any()
    far = Grid((4, 4, 4), np.array([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert not original_mask_on(far, Volume(np.ones(window.array.shape, bool), window.grid)).array.any()


def test_a_label_that_resampling_loses_leaves_the_window_in_the_middle():
    grid = Grid((40, 40, 40), np.diag([0.3, 0.3, 0.3, 1.0]))
    label = np.zeros(grid.shape, bool)
    label[1, 1, 1] = True
    volume = Volume(np.ones(grid.shape, np.float32), grid)
    window = original_window(volume, label=Volume(label, grid), size=8)
    assert np.abs(window.grid.center_ras - grid.center_ras).max() <= 1.5


def test_a_single_slice_stays_one():
    grid = Grid((20, 20, 1), np.diag([-1.0, -1.0, 5.0, 1.0]))
    assert resampled_grid(grid, 1.5).shape == (14, 14, 1)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.float16, np.float64, np.dtype(">i2"), np.uint32])
def test_voxels_of_any_type_are_taken(kind):
    grid = GRIDS[3]
    window = original_window(Volume(np.ones(grid.shape).astype(kind), grid), center_ras=grid.center_ras, size=8)
    assert window.array.dtype == np.float32
    assert (window.array == 1).all()


def test_an_official_answer_is_the_scripts_for_a_label_of_one_voxel(an_oblique_volume, a_small_model):
    voxel = np.array([40, 31, 9])
    clicks = (
        Click(tuple(an_oblique_volume.grid.to_ras(voxel))),
        Click(tuple(an_oblique_volume.grid.to_ras(voxel + 5)), False),
    )
    found = predict_as_original(an_oblique_volume, a_small_model, PromptSet(clicks))
    window = original_window(an_oblique_volume, center_ras=clicks[0].ras, size=SIZE)
    points = window.grid.to_ijk([click.ras for click in clicks])
    run = {"clicks": points, "labels": np.array([1, 0])}
    logits = last_logits(a_small_model, window, run, name="")
    assert np.array_equal(found.low_res_logits, logits)
    expected = original_mask_on(an_oblique_volume.grid, Volume(upsampled(logits) > 0, window.grid))
    assert np.array_equal(found.mask.on(an_oblique_volume.grid.shape) > 0, expected.array)


def test_the_official_window_takes_no_box(an_oblique_volume, a_small_model):
    box = BoxPrompt(Box3D.aligned(an_oblique_volume.grid.center_ras, [10, 10, 10]))
    with pytest.raises(PromptError, match="clicks only"):
        predict_as_original(an_oblique_volume, a_small_model, PromptSet((box,)))
