"""MA-SAM's input against what the original scripts made of the same voxels (Testing/Data/ma_sam/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.ma_sam.preprocess import (
    ABDOMINAL_CT,
    PANCREATIC_CT,
    GrayRule,
    box_in_pixels,
    check_finite,
    cubic_zoom,
    network_slice,
    on_voxels,
    range_of,
)

TOLERANCE = 1e-6
DATA = Path(__file__).parents[3] / "Data" / "ma_sam"


@pytest.fixture(scope="module")
def the_stacks():
    with np.load(DATA / "preprocess.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def the_run():
    with np.load(DATA / "volume.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def an_mr(the_stacks):
    return Volume(the_stacks["mr_raw"], Grid(the_stacks["mr_raw"].shape, np.diag([-0.6, 0.7, 3.0, 1.0])), "MR")


@pytest.mark.parametrize(("rule", "name"), [(ABDOMINAL_CT, "ct_auto"), (PANCREATIC_CT, "ct_bbox")])
def test_a_stack_of_ct_is_scaled_as_by_the_original_script(the_stacks, rule, name):
    raw = np.concatenate([the_stacks["ct_raw"].ravel(), the_stacks["ct_raw_minmax"].astype(np.int16)])
    scaled = rule.stretched(rule.windowed(raw))[:-2].reshape(the_stacks["ct_raw"].shape)
    assert np.abs(scaled - the_stacks[name]).max() < TOLERANCE
    assert 0 < scaled.min() + TOLERANCE < scaled.max() <= 1


@pytest.mark.parametrize("number", [0, 3])
def test_a_volumes_stacks_are_turned_and_scaled_as_by_the_original_script(the_run, number):
    volume = the_run["volume_xyz"]
    shown = np.clip(np.arange(number - 2, number + 3), 0, volume.shape[2] - 1)
    slices = [network_slice(ABDOMINAL_CT.windowed(volume[:, :, k]), 128) for k in shown]
    stack = ABDOMINAL_CT.stretched(np.stack(slices, axis=-1))
    assert np.abs(stack[::4, ::4] - the_run[f"norm_stack{number}"]).max() < TOLERANCE


def test_mr_is_scaled_and_resized_as_by_the_original_script(an_mr, the_stacks):
    rule = range_of(an_mr)
    turned = np.stack([network_slice(rule.windowed(an_mr.array[:, :, k]), 512) for k in range(4)], axis=-1)
    assert np.abs(turned[::16, ::16] - the_stacks["mr_out_stride16"]).max() < TOLERANCE
    assert turned.sum(dtype=np.float64) == pytest.approx(float(the_stacks["mr_out_sum"]), rel=1e-7)
    assert turned.min() < 0
    assert turned.max() > 1.02  # the spline's overshoot is left in


def test_a_stretch_is_the_line_that_it_is_said_to_be():
    values = np.random.default_rng(1).normal(40, 90, (6, 5, 4))
    for rule in (ABDOMINAL_CT, PANCREATIC_CT, GrayRule(-3.0, 200.0, scale=1.0, clips_below=False)):
        windowed = rule.windowed(values)
        gain, offset = rule.stretch_of(float(windowed.min()), float(windowed.max()))
        assert np.abs(gain * windowed + offset - rule.stretched(windowed)).max() < TOLERANCE


def test_a_stack_of_one_gray_value_becomes_zeros():
    rule = ABDOMINAL_CT
    windowed = rule.windowed(np.full((4, 4, 5), -1000, np.int16))
    assert not rule.stretched(windowed).any()
    gain, offset = rule.stretch_of(0.0, 0.0)
    assert np.isfinite([gain, offset]).all()
    assert offset == 0


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.bool_])
def test_gray_values_of_any_type_are_windowed(kind):
    windowed = PANCREATIC_CT.windowed(np.array([[0, 1]], dtype=kind))
    assert windowed.dtype == np.float32
    assert windowed == pytest.approx(np.array([[51.0, 52.02]]))


def test_a_slice_is_turned_about_its_other_diagonal():
    pixels = network_slice(np.arange(16, dtype=np.float32).reshape(4, 4), 4)
    rows, columns = np.indices((4, 4))
    assert np.array_equal(pixels, np.arange(16).reshape(4, 4)[3 - columns, 3 - rows])
    assert torch.equal(on_voxels(torch.from_numpy(pixels), (4, 4)), torch.arange(16.0).reshape(4, 4))


@pytest.mark.parametrize(("before", "after"), [(64, 128), (90, 57), (128, 128), (5, 9), (2, 7)])
def test_resizing_is_scipys_cubic_zoom(before, after):
    ndimage = pytest.importorskip("scipy.ndimage")
    row = np.random.default_rng(before).normal(size=before)
    assert np.abs(cubic_zoom(before, after) @ row - ndimage.zoom(row, after / before, order=3)).max() < 1e-10


def test_a_single_row_is_spread_over_all():
    assert np.array_equal(cubic_zoom(1, 3) @ [7.0], [7.0] * 3)


def test_what_is_seen_in_a_resized_slice_is_laid_back_where_it_is():
    x, y = np.meshgrid(np.arange(150), np.arange(71), indexing="ij")
    blob = np.exp(-((x - 103.3) ** 2 + (y - 22.8) ** 2) / (2 * 7.0**2)).astype(np.float32)
    back = on_voxels(torch.from_numpy(network_slice(blob, 128).copy()), (150, 71)).numpy()
    center = [(axis * back).sum() / back.sum() for axis in (x, y)]
    assert center == pytest.approx([103.3, 22.8], abs=0.02)
    assert np.abs(back - blob).max() < 0.01


@pytest.mark.parametrize(("shape", "size"), [((128, 128), 128), ((150, 71), 256)])
def test_a_box_holds_the_pixels_of_the_voxels_that_it_holds(shape, size):
    low, high = np.array([20.5, 33.5]), np.array([60.5, 41.5])
    inside = np.zeros(shape, np.float32)
    inside[21:61, 34:42] = 1
    x0, y0, x1, y1 = box_in_pixels(low, high, shape=shape, size=size)
    rows, columns = np.nonzero(network_slice(inside, size) > 0.5)
    ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (x0, y0, x1, y1) == pytest.approx(ends, abs=0 if shape == (size, size) else 1.0)


def test_an_mr_without_contrast_or_with_holes_is_refused(an_mr):
    with pytest.raises(VolumeError, match="same value nearly everywhere"):
        range_of(Volume(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4)), "MR"))
    holes = np.where(an_mr.array > 300, np.nan, an_mr.array)
    with pytest.raises(VolumeError, match="'MR' has NaN or infinite voxels"):
        check_finite(holes, "MR")
    check_finite(an_mr.array, "MR")
