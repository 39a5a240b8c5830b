"""3DSAM-adapter's own test script against a run of it (Testing/Data/sam3d_adapter/README.md), and on turned grids."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.scenes import oblique_grid, spheres

from inference_core.engine.original_pipeline import predict_as_original
from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.registry import get_spec
from inference_core.models.sam3d_adapter.model import build, scaled
from inference_core.models.sam3d_adapter.original import at_one_mm, cropped, pasted, slices_first, zooms_of
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

DATA = Path(__file__).parents[3] / "Data" / "sam3d_adapter"
SIZE = 32
# Where the data sets' files have their slices, and the model that was trained on each.
AXES = {
    "kits": ("sam3d_adapter", (0, 1, 2)),
    "lits": ("sam3d_adapter_liver", (2, 1, 0)),
    "pancreas_slice_branch": ("sam3d_adapter_pancreas", (2, 1, 0)),
    "colon_nan": ("sam3d_adapter_colon", (2, 1, 0)),
}


@pytest.fixture(scope="module")
def the_preprocessing():
    with np.load(DATA / "preprocess.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def the_official_run():
    with np.load(DATA / "e2e.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def a_small_model():
    return build(get_spec("sam3d_adapter"), DATA / "small.safetensors", "cpu")


@pytest.mark.parametrize("name", AXES)
def test_the_network_is_shown_what_the_data_set_makes_of_a_file(the_preprocessing, name):
    model, order = AXES[name]
    zooms = the_preprocessing[f"{name}/zooms_header_float32"]
    grid = Grid(the_preprocessing[f"{name}/raw"].shape, file_affine(zooms, order))
    assert slices_first(grid) == order
    array = the_preprocessing[f"{name}/raw"].transpose(order)
    image = scaled(torch.from_numpy(at_one_mm(array, zooms_of(grid)[list(order)])), get_spec(model).hounsfield)
    wanted = the_preprocessing[f"{name}/test_image"]
    assert image.shape == wanted.shape
    assert np.abs(image.numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize("case", ["centre", "corner"])
@pytest.mark.parametrize("count", [1, 5])
def test_the_mask_is_the_scripts(a_small_model, the_official_run, case, count):
    """With the very voxels that the script drew; the corner's crop leaves the volume on three sides.

    The cases are named as the reference file spells them.
    """
    run = {name.removeprefix(f"{case}_"): value for name, value in the_official_run.items()}
    grid = Grid(run["raw"].shape, file_affine(the_official_run["zooms"], (0, 1, 2)))
    drawn = drawn_voxels(run["label"], zooms_of(grid))[run[f"{count}_sample"]]
    clicks = [Click(tuple(grid.to_ras((voxel + 0.5) / zooms_of(grid) - 0.5))) for voxel in drawn]
    found = predict_as_original(Volume(run["raw"], grid), a_small_model, PromptSet(tuple(clicks)))
    wanted = np.unpackbits(run[f"{count}_mask_final_packed"])[: run["raw"].size].reshape(run["raw"].shape)
    assert 0 < wanted.sum() < wanted.size
    assert np.array_equal(found.mask.on(grid.shape), wanted)


def test_points_and_window_agree_with_the_scripts(a_small_model, the_official_run):
    grid = Grid(the_official_run["corner_raw"].shape, file_affine(the_official_run["zooms"], (0, 1, 2)))
    drawn = drawn_voxels(the_official_run["corner_label"], zooms_of(grid))[the_official_run["corner_5_sample"]]
    places = grid.to_ras((drawn + 0.5) / zooms_of(grid) - 0.5)
    clicks = PromptSet(tuple(Click(tuple(place)) for place in places))
    found = predict_as_original(Volume(the_official_run["corner_raw"], grid), a_small_model, clicks)
    in_window = found.window.to_ijk(places)
    assert np.allclose(in_window[:, [2, 0, 1]], the_official_run["corner_5_points_in_patch_DWH"], atol=1e-4)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3))[::3])
def test_slices_come_first_whatever_the_axes(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * signs
    found = slices_first(Grid((4, 5, 6), affine))
    assert [order[axis] for axis in found] == [2, 1, 0]


def test_sizes_are_the_headers_single_precision_ones():
    spacing = np.array([0.7, 0.78125, 2.5], dtype=np.float32).astype(np.float64)
    turned = np.linalg.qr(np.array([[0.9, 0.2, 0.1], [-0.2, 0.95, 0.1], [0.05, -0.1, 0.99]]))[0]
    affine = np.eye(4)
    affine[:3, :3] = turned * spacing
    assert np.array_equal(zooms_of(Grid((40, 40, 40), affine)), spacing)
    assert at_one_mm(np.zeros((40, 40, 40)), spacing).shape == (27, 31, 100)


def test_the_answer_lies_where_the_click_is_on_a_turned_grid(a_small_model):
    grid = oblique_grid(17, 1)
    center = grid.to_ras(np.array(grid.shape) * (0.4, 0.5, 0.6))
    volume = Volume((spheres(grid, [(center, 12.0)]) * 150).astype(np.int16), grid)
    found = predict_as_original(volume, a_small_model, PromptSet((Click(tuple(center)),)))
    assert np.abs(found.window.to_ijk(center) - SIZE // 2).max() <= 0.51
    assert np.allclose(found.window.spacing, 1.0)
    cells = grid.to_ijk(found.window.to_ras(np.argwhere(found.low_res_logits > 0.6 * found.low_res_logits.max())))
    inside = np.all((cells > 1) & (cells < np.array(grid.shape) - 2), axis=1)
    assert inside.any()
    mask = found.mask.on(grid.shape)
    assert mask[tuple(np.rint(cells[inside]).astype(int).T)].mean() > 0.95


def test_a_crop_beyond_the_volume_shows_the_mean_and_goes_back_to_its_place():
    image = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    begin = np.array([-3, 2, 4])
    crop = cropped(image, begin, size=8, beyond=7.5)
    assert crop[0, 0, 0] == 7.5
    assert np.array_equal(crop[3:7, :3, :2], image[:, 2:, 4:])
    back = pasted(crop, begin, image.shape)
    assert np.array_equal(back[:, 2:, 4:], image[:, 2:, 4:])
    assert not back[:, :2].any()


@pytest.mark.parametrize("further", [Click((0.0, 0.0, 0.0), False), BoxPrompt(Box3D.aligned((0, 0, 0), (5, 5, 5)))])
def test_what_the_script_does_not_know_is_refused(a_small_model, further):
    grid = Grid((20, 20, 20), np.array([[1.0, 0, 0, -10], [0, 1, 0, -10], [0, 0, 1, -10], [0, 0, 0, 1]]))
    prompts = PromptSet((Click((0.0, 0.0, 0.0)), further))
    with pytest.raises(PromptError, match="leave"):
        predict_as_original(Volume(np.zeros(grid.shape, np.int16), grid), a_small_model, prompts)


def file_affine(zooms, order):
    """Slices to superior or inferior, rows to anterior or posterior: as the data sets' files lie."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, row in zip(order, (2, 1, 0), strict=True):
        affine[row, axis] = -float(zooms[axis]) if order[0] == 0 else float(zooms[axis])
    return affine


def drawn_voxels(label, zooms):
    """The tumor's voxels at 1 mm in the order in which the script draws from them."""
    size = [int(np.floor(count * zoom)) for count, zoom in zip(label.shape, zooms, strict=True)]
    small = F.interpolate(torch.from_numpy((label == 2).astype(np.float32))[None, None], size=size, mode="nearest")
    return np.argwhere(small[0, 0].numpy() > 0.5)
