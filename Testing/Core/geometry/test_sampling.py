"""Windows out of volumes and back, against trilinear interpolation by hand and fields that have an exact answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import oblique_grid, turn

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid, corners_ijk, isotropic_grid
from inference_core.geometry.sampling import extent_on, resample_onto, rescaled, sample_window
from inference_core.geometry.volume import Volume

angles = st.floats(-180, 180)
turns = st.tuples(angles, angles, angles)
SLOPE_PER_MM = np.array([0.3, -0.7, 0.5])


def voxels_of(grid: Grid) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)


def ramp(grid: Grid) -> np.ndarray:
    """A field that is linear in the patient's coordinates."""
    return (grid.to_ras(voxels_of(grid)) @ SLOPE_PER_MM).astype(np.float32)


def noise(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def trilinear(array: np.ndarray, ijk: np.ndarray) -> np.ndarray:
    """The eight neighbors of each point, weighted by hand."""
    low = np.floor(ijk).astype(int)
    share = ijk - low
    total = np.zeros(ijk.shape[:-1])
    for number in range(8):
        upper = np.array([(number >> axis) & 1 for axis in range(3)])
        weight = np.where(upper == 1, share, 1 - share).prod(axis=-1)
        total += weight * array[tuple(np.moveaxis(low + upper, -1, 0))]
    return total


def aligned_window(grid: Grid, *, shape, spacing, offset_mm=(0.0, 0.0, 0.0)) -> Grid:
    """A window along a grid's axes, as those that are clicked into."""
    axes = grid.affine[:3, :3] / grid.spacing
    return isotropic_grid(grid.center_ras + np.array(offset_mm), shape=shape, spacing=spacing, axes=axes)


@pytest.fixture
def a_noisy_volume(a_left_handed_grid) -> Volume:
    return Volume(noise(a_left_handed_grid.shape), a_left_handed_grid, "noise")


@settings(max_examples=40, deadline=None)
@given(
    orientation=st.integers(0, 47),
    spacing=st.integers(0, 2),
    degrees=turns,
    step=st.floats(0.3, 0.9),
    offset=st.tuples(*[st.floats(-8, 8)] * 3),
    reflect=st.booleans(),
)
def test_sampling_equals_trilinear_interpolation_by_hand(*, orientation, spacing, degrees, step, offset, reflect):
    grid = oblique_grid(orientation, spacing, size_mm=11.0)
    volume = Volume(noise(grid.shape), grid)
    window = isotropic_grid(grid.center_ras + offset, shape=(7, 8, 9), spacing=step, axes=turn(degrees))
    margin = 40
    padded = np.pad(volume.array, margin, mode="symmetric" if reflect else "constant")
    expected = trilinear(padded, grid.to_ijk(window.to_ras(voxels_of(window))) + margin)
    sampled = sample_window(volume, window, reflect=reflect)
    assert sampled.shape == window.shape
    assert sampled.dtype == np.float32
    np.testing.assert_allclose(sampled, expected, atol=2e-4)


def test_a_window_on_the_voxels_themselves_returns_them(a_noisy_volume):
    window = a_noisy_volume.grid.cropped((1, 2, 3), (4, 5, 7))
    np.testing.assert_allclose(
        sample_window(a_noisy_volume, window, reflect=True), a_noisy_volume.array[1:4, 2:5, 3:7], atol=1e-4
    )


@pytest.fixture(scope="module")
def a_ramp() -> Volume:
    grid = oblique_grid(17, 1, size_mm=130.0)
    return Volume(ramp(grid), grid, "ramp")


@settings(max_examples=60, deadline=None)
@given(step=st.floats(0.4, 10.0), offset=st.tuples(*[st.floats(-6, 6)] * 3))
def test_a_linear_field_is_exact_up_to_the_last_voxel_however_coarse_the_window(a_ramp, step, offset):
    window = aligned_window(a_ramp.grid, shape=(10, 9, 11), spacing=step, offset_mm=offset)
    np.testing.assert_allclose(sample_window(a_ramp, window, reflect=True), ramp(window), atol=2e-3)


@settings(max_examples=15, deadline=None)
@given(step=st.floats(0.4, 6.0), degrees=turns)
def test_a_linear_field_is_exact_in_turned_windows_too(a_ramp, step, degrees):
    window = isotropic_grid(a_ramp.grid.center_ras, shape=(8, 8, 8), spacing=step, axes=turn(degrees))
    np.testing.assert_allclose(sample_window(a_ramp, window, reflect=True), ramp(window), atol=2e-3)


@pytest.mark.parametrize("step", np.arange(1.0, 12.0, 0.7).tolist() + [2.0, 4.0])
@pytest.mark.parametrize("reflect", [True, False])
def test_a_uniform_volume_is_uniform_in_every_window_that_it_fills(step, reflect):
    grid = Grid((130, 130, 130), np.diag([1.0, -1.0, 1.0, 1.0]))
    volume = Volume(np.broadcast_to(np.int16(-700), grid.shape), grid)
    for offset in ([0.25, 0.5, -0.3], [-0.9, 0.1, 0.46]):
        window = aligned_window(grid, shape=(9, 9, 9), spacing=step, offset_mm=offset)
        assert np.ptp(sample_window(volume, window, reflect=reflect)) < 1e-3


@pytest.mark.parametrize("step", [2.0, 4.0, 6.0])
def test_a_checkerboard_becomes_its_mean_in_a_coarser_window(step):
    """Picking voxels instead of averaging them would show stripes that are not in the image."""
    grid = Grid((64, 64, 64), np.diag([-1.0, 1.0, 1.0, 1.0]))
    volume = Volume((voxels_of(grid).sum(axis=-1) % 2 * 100).astype(np.int16), grid)
    sampled = sample_window(volume, aligned_window(grid, shape=(8, 8, 8), spacing=step), reflect=True)
    np.testing.assert_allclose(sampled, 50.0, atol=1e-3)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize(("along", "kept"), [(0, False), (1, False), (2, True)])
def test_thin_slices_are_averaged_and_thick_ones_are_not(order, along, kept):
    """Stripes one voxel wide, where a window voxel holds four voxels in the plane and one slice."""
    grid = Grid((64, 64, 20), np.diag([0.5, -0.5, 2.0, 1.0]))
    volume = Volume((voxels_of(grid)[..., along] % 2 * 100).astype(np.int16), grid)
    axes = (grid.affine[:3, :3] / grid.spacing)[:, list(order)]
    window = isotropic_grid(grid.center_ras, shape=(12, 12, 12), spacing=2.0, axes=axes)
    assert sample_window(volume, window, reflect=True).std() == pytest.approx(50.0 if kept else 0.0, abs=1e-2)


@pytest.mark.parametrize("beyond", [1, 4, 17])
@pytest.mark.parametrize("shape", [(5, 6, 7), (9, 2, 8), (2, 9, 3)])
def test_beyond_the_edge_the_image_is_mirrored_as_often_as_it_takes(shape, beyond):
    volume = Volume(noise(shape), Grid(shape, oblique_grid(29, 2).affine))
    window = volume.grid.cropped([-beyond] * 3, np.add(shape, beyond))
    expected = np.pad(volume.array, beyond, mode="symmetric")
    np.testing.assert_allclose(sample_window(volume, window, reflect=True), expected, atol=2e-4)


def test_without_mirroring_it_is_zero_beyond_the_edge(a_noisy_volume):
    window = a_noisy_volume.grid.cropped((-3, -3, -3), np.add(a_noisy_volume.grid.shape, 3))
    np.testing.assert_allclose(
        sample_window(a_noisy_volume, window, reflect=False), np.pad(a_noisy_volume.array, 3), atol=2e-4
    )


def test_a_window_that_misses_the_volume_is_zero_or_mirrored(a_noisy_volume):
    window = a_noisy_volume.grid.cropped((50, 50, 50), (54, 54, 54))
    assert not sample_window(a_noisy_volume, window, reflect=False).any()
    mirrored = sample_window(a_noisy_volume, window, reflect=True)
    assert np.abs(mirrored).max() <= np.abs(a_noisy_volume.array).max()
    assert mirrored.std() > 0.1


@pytest.mark.parametrize("reflect", [True, False])
def test_a_volume_is_not_changed_by_sampling_it(a_noisy_volume, reflect):
    before = a_noisy_volume.array.copy()
    a_noisy_volume.array.setflags(write=False)
    sample_window(a_noisy_volume, a_noisy_volume.grid.cropped((-2, 0, 0), (4, 5, 6)), reflect=reflect)
    sample_window(a_noisy_volume, a_noisy_volume.grid.cropped((2, 2, 2), (3, 3, 3)), reflect=reflect)
    np.testing.assert_array_equal(a_noisy_volume.array, before)


@pytest.fixture
def a_long_volume() -> Volume:
    grid = Grid((20, 22, 60), oblique_grid(11, 0).affine)
    return Volume(np.zeros(grid.shape, dtype=np.float32), grid, "CTChest")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("lowest", "background"), [(-1000.0, -1000.0), (7.0, 0.0)])
@pytest.mark.parametrize("size", [1, 2])
def test_voxels_that_are_not_finite_are_background(a_noisy_volume, value, lowest, background, size):
    array = np.abs(a_noisy_volume.array.astype(np.float32)) + 8
    array[3, 3, 3] = lowest
    holes = np.zeros(array.shape, dtype=bool)
    holes[2:5, 4, 2:9] = True
    grid = a_noisy_volume.grid
    window = Grid(tuple(n // size for n in grid.shape), grid.affine @ np.diag([size, size, size, 1.0]))
    seen = sample_window(Volume(np.where(holes, np.float32(value), array), grid), window, reflect=True)
    expected = sample_window(Volume(np.where(holes, np.float32(background), array), grid), window, reflect=True)
    np.testing.assert_array_equal(seen, expected)


def test_a_window_without_a_finite_voxel_is_refused(a_long_volume):
    a_long_volume.array[:, :, :30] = np.nan
    with pytest.raises(VolumeError, match="'CTChest' has no finite value around the prompts"):
        sample_window(a_long_volume, a_long_volume.grid.cropped((8, 8, 8), (13, 13, 13)), reflect=True)


def test_voxels_that_are_not_finite_do_no_harm_elsewhere(a_long_volume):
    a_long_volume.array[:, :, 40:] = np.nan
    window = a_long_volume.grid.cropped((8, 8, 8), (13, 13, 13))
    assert not sample_window(a_long_volume, window, reflect=True).any()


TYPES = [np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.float16, np.float64, ">i2", ">f4"]


@pytest.mark.parametrize("layout", ["C", "F", "reversed", "strided"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_memory_layout_gives_the_same_window(a_left_handed_grid, dtype, layout):
    values = np.random.default_rng(1).integers(0, 2 if dtype is np.bool_ else 100, a_left_handed_grid.shape)
    array = np.asarray(values.astype(dtype), order="F" if layout == "F" else "C")
    if layout == "reversed":
        array = array[::-1, :, ::-1].copy()[::-1, :, ::-1]
    if layout == "strided":
        array = np.repeat(array, 2, axis=1)[:, ::2]
    window = aligned_window(a_left_handed_grid, shape=(9, 9, 9), spacing=0.55, offset_mm=(0.3, 0.2, -0.4))
    sampled = sample_window(Volume(array, a_left_handed_grid), window, reflect=True)
    plain = sample_window(Volume(values.astype(np.float32), a_left_handed_grid), window, reflect=True)
    np.testing.assert_array_equal(sampled, plain)


def test_unsigned_voxels_beyond_the_signed_range_keep_their_sign(a_left_handed_grid):
    volume = Volume(np.full(a_left_handed_grid.shape, 65_000, dtype=np.uint16), a_left_handed_grid)
    np.testing.assert_allclose(sample_window(volume, a_left_handed_grid, reflect=True), 65_000)


def test_only_the_voxels_under_the_window_are_touched():
    """A volume of 125 billion voxels, of which the machine holds one."""
    grid = Grid((5000, 5000, 5000), np.diag([1.0, 1.0, -1.0, 1.0]))
    volume = Volume(np.broadcast_to(np.int16(7), grid.shape), grid)
    for corner in ((2500, 2500, 2500), (-4, 4990, 0)):
        window = grid.cropped(corner, np.add(corner, 8))
        np.testing.assert_allclose(sample_window(volume, window, reflect=True), 7.0)


@settings(max_examples=25, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 12)] * 3), degrees=turns)
def test_another_shape_over_the_same_extent_has_the_same_corners(shape, degrees):
    grid = oblique_grid(31, 2, degrees=degrees, size_mm=20.0)
    other = rescaled(grid, shape)
    assert other.shape == shape
    np.testing.assert_allclose(other.to_ras(corners_ijk(other.shape)), grid.to_ras(corners_ijk(grid.shape)), atol=1e-9)


@pytest.fixture
def a_window() -> Grid:
    return isotropic_grid([31.0, -47.0, 113.0], shape=(16, 16, 16), spacing=1.5, axes=turn((12, -7, 25)))


@pytest.mark.parametrize("cells", [4, 8, 16, 32])
def test_logits_of_any_resolution_cover_the_window_edge_to_edge(a_window, cells):
    values = np.full((cells,) * 3, 3.0, dtype=np.float32)
    np.testing.assert_allclose(resample_onto(values, a_window, a_window, outside=-20.0), 3.0)
    around = a_window.cropped((-2, -2, -2), (18, 18, 18))
    expected = np.pad(np.full(a_window.shape, 3.0), 2, constant_values=-20.0)
    np.testing.assert_allclose(resample_onto(values, a_window, around, outside=-20.0), expected)


@pytest.mark.parametrize("cells", [8, 16, 32])
@pytest.mark.parametrize("orientation", [0, 13, 29, 46])
def test_logits_of_any_resolution_are_laid_where_they_belong(a_window, cells, orientation):
    values = ramp(rescaled(a_window, (cells,) * 3))
    target = Grid((9, 10, 11), oblique_grid(orientation, 1).affine)
    target = Grid(target.shape, _centered(target, a_window))
    ijk = a_window.to_ijk(target.to_ras(voxels_of(target)))
    # Half a cell from the edge there is nothing to interpolate between.
    well_inside = np.all((ijk > 0.5) & (ijk < 14.5), axis=-1)
    assert well_inside.sum() > 300
    laid = resample_onto(values, a_window, target, outside=-20.0)
    np.testing.assert_allclose(laid[well_inside], ramp(target)[well_inside], atol=1e-3)


def _centered(grid: Grid, on: Grid) -> np.ndarray:
    affine = grid.affine.copy()
    affine[:3, 3] += on.center_ras - grid.center_ras
    return affine


@pytest.mark.parametrize("orientation", [3, 22, 40])
def test_voxels_outside_the_window_get_the_value_for_outside(a_window, orientation):
    target = oblique_grid(orientation, 2, size_mm=40.0)
    target = Grid(target.shape, _centered(target, a_window))
    ijk = a_window.to_ijk(target.to_ras(voxels_of(target)))
    depth = np.minimum(ijk + 0.5, 15.5 - ijk).min(axis=-1)
    laid = resample_onto(np.ones(a_window.shape, dtype=np.float32), a_window, target, outside=-20.0)
    np.testing.assert_allclose(laid[depth > 1e-3], 1.0)
    np.testing.assert_allclose(laid[depth < -1e-3], -20.0)
    assert (depth > 1e-3).any()
    assert (depth < -1e-3).any()


@pytest.mark.parametrize("orientation", range(0, 48, 7))
def test_the_extent_of_a_window_on_a_grid_is_its_bounding_box(a_window, orientation):
    target = oblique_grid(orientation, 1, size_mm=60.0)
    inside = np.all(np.abs(a_window.to_ijk(target.to_ras(voxels_of(target))) - 7.5) <= 8, axis=-1)
    found = np.argwhere(inside)
    assert len(found) > 100
    start, stop = extent_on(a_window, target)
    assert (start <= found.min(axis=0)).all()
    assert (stop > found.max(axis=0)).all()
    corners = target.to_ijk(a_window.to_ras(corners_ijk(a_window.shape)))
    assert (start >= np.maximum(0, corners.min(axis=0) - 1)).all()
    assert (stop <= np.minimum(target.shape, corners.max(axis=0) + 2)).all()


@pytest.mark.parametrize("corner", [(-40, 5, 5), (5, 5, 900)])
def test_the_extent_of_a_window_beside_the_grid_is_empty(corner):
    grid = oblique_grid(29, 0)
    start, stop = extent_on(grid.cropped(corner, np.add(corner, 10)), grid)
    assert np.prod(stop - start) == 0
    assert (stop >= start).all()
    assert (start >= 0).all()
    assert (stop <= grid.shape).all()


@pytest.mark.parametrize("orientation", [5, 19, 33])
@pytest.mark.parametrize("spacing", [0.8, 2.6])
def test_beyond_the_volume_a_window_has_the_value_for_beyond(orientation, spacing):
    """Also where several voxels are averaged, some of them beyond: the value itself is left over then everywhere."""
    grid = oblique_grid(orientation, 0, size_mm=20.0)
    window = isotropic_grid(grid.to_ras((0, 0, 0)), shape=(14, 12, 16), spacing=spacing, axes=np.eye(3))
    flat = sample_window(Volume(np.full(grid.shape, 59.5), grid), window, reflect=False, beyond=59.5)
    np.testing.assert_allclose(flat, 59.5, rtol=1e-6)
    dark = sample_window(Volume(np.zeros(grid.shape), grid), window, reflect=False, beyond=10.0)
    depth = np.minimum((ijk := grid.to_ijk(window.to_ras(voxels_of(window)))), np.array(grid.shape) - 1 - ijk).min(
        axis=-1
    )
    np.testing.assert_allclose(dark[depth > 2 * spacing], 0.0, atol=1e-6)
    np.testing.assert_allclose(dark[depth < -2 * spacing - 1], 10.0, rtol=1e-6)
    assert (depth > 2 * spacing).any()
