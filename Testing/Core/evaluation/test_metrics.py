"""Metrics against values worked out by hand, with voxels that are far from cubes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from monai.metrics import compute_iou

from inference_core.errors import SAM3DError, VolumeError
from inference_core.evaluation.metrics import (
    dice,
    hausdorff,
    hausdorff95,
    intersection_over_union,
    surface_dice,
    volume_ml,
)
from inference_core.geometry.grid import Grid

FLAT = (1.0, 1.0, 4.0)


@pytest.fixture
def a_cube() -> np.ndarray:
    """A cube of 40 mm on a grid of `FLAT` spacing."""
    mask = np.zeros((70, 60, 20), dtype=bool)
    mask[10:50, 10:50, 5:15] = True
    return mask


@pytest.fixture
def an_empty_mask() -> np.ndarray:
    return np.zeros((70, 60, 20), dtype=bool)


def test_dice_is_twice_the_overlap_over_the_sum(a_cube: np.ndarray) -> None:
    shifted = np.roll(a_cube, 10, axis=0)

    assert dice(a_cube, shifted) == pytest.approx(2 * 30 / (40 + 40))
    assert dice(a_cube, a_cube) == 1.0


def test_dice_takes_unequal_sizes(a_cube: np.ndarray) -> None:
    half = a_cube.copy()
    half[:, :, 10:] = False

    assert dice(half, a_cube) == dice(a_cube, half) == pytest.approx(2 * 5 / (5 + 10))


@pytest.mark.parametrize("metric", [dice, lambda a, b: surface_dice(a, b, spacing=FLAT, tolerance_mm=1.0)])
def test_empty_masks_agree_with_each_other_and_with_nothing_else(
    metric: object, a_cube: np.ndarray, an_empty_mask: np.ndarray
) -> None:
    assert callable(metric)
    assert metric(an_empty_mask, an_empty_mask) == 1.0
    assert metric(a_cube, an_empty_mask) == 0.0
    assert metric(an_empty_mask, a_cube) == 0.0


def test_equal_surfaces_agree_at_any_tolerance(a_cube: np.ndarray) -> None:
    assert surface_dice(a_cube, a_cube, spacing=FLAT, tolerance_mm=0.0) == 1.0


@pytest.mark.parametrize(("axis", "voxels", "distance"), [(0, 3, 3.0), (1, 3, 3.0), (2, 1, 4.0)])
def test_the_tolerance_is_in_millimeters_along_every_axis(
    a_cube: np.ndarray, *, axis: int, voxels: int, distance: float
) -> None:
    shifted = np.roll(a_cube, voxels, axis=axis)

    within = surface_dice(a_cube, shifted, spacing=FLAT, tolerance_mm=distance + 0.05)
    below = surface_dice(a_cube, shifted, spacing=FLAT, tolerance_mm=distance - 0.5)

    assert within == pytest.approx(1.0, abs=1e-6)
    # Two of six faces are out of tolerance, less a strip at their rims where the other faces are near.
    assert below == pytest.approx(4 / 6, abs=0.07)


def test_faces_count_by_their_area_in_millimeters() -> None:
    slab = np.zeros((44, 44, 9), dtype=bool)
    slab[2:42, 2:42, 3:5] = True
    thicker = slab.copy()
    thicker[:, :, 5] = True

    result = surface_dice(slab, thicker, spacing=FLAT, tolerance_mm=1.0)

    # Areas: 40 x 40 above and below, four sides of 40 x 8 (40 x 12). One large face of each is off, and the new rim.
    off = 2 * 40 * 40 + 4 * 40 * 4
    assert result == pytest.approx(1 - off / (4 * 40 * 40 + 4 * 40 * 8 + 4 * 40 * 12), abs=0.04)


def test_a_surface_at_the_border_of_the_image_counts(a_cube: np.ndarray) -> None:
    inner = a_cube[10:50, 10:50, 5:15]
    half = inner.copy()
    half[20:] = False

    cut = surface_dice(inner, half, spacing=FLAT, tolerance_mm=1.0)
    whole_half = a_cube.copy()
    whole_half[30:] = False

    assert cut == pytest.approx(surface_dice(a_cube, whole_half, spacing=FLAT, tolerance_mm=1.0))


def test_masks_of_two_grids_are_refused(a_cube: np.ndarray) -> None:
    with pytest.raises(VolumeError, match="resample"):
        dice(a_cube, a_cube[1:])
    with pytest.raises(VolumeError, match="resample"):
        surface_dice(a_cube, a_cube[1:], spacing=FLAT, tolerance_mm=1.0)


def test_volume_counts_voxels_of_an_oblique_left_handed_grid(a_cube: np.ndarray) -> None:
    c, s = np.cos(0.4), np.sin(0.4)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, -1]]) @ np.diag(FLAT)

    assert volume_ml(a_cube, Grid(a_cube.shape, affine)) == pytest.approx(64.0)
    with pytest.raises(VolumeError, match="grid"):
        volume_ml(a_cube[1:], Grid(a_cube.shape, affine))


def test_a_missing_library_is_named_with_the_way_to_install_it(
    a_cube: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "monai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "monai", None)

    with pytest.raises(SAM3DError, match=r"'monai'.*sam3dsegment\[evaluate\]"):
        surface_dice(a_cube, a_cube, spacing=FLAT, tolerance_mm=1.0)


def test_intersection_over_union_is_the_overlap_over_either(a_cube: np.ndarray, an_empty_mask: np.ndarray) -> None:
    shifted = np.roll(a_cube, 10, axis=0)

    assert intersection_over_union(a_cube, shifted) == pytest.approx(30 / 50)
    assert intersection_over_union(an_empty_mask, an_empty_mask) == 1.0
    assert intersection_over_union(a_cube, an_empty_mask) == 0.0
    pair = [torch.from_numpy(mask)[None, None] for mask in (a_cube, shifted)]
    assert intersection_over_union(a_cube, shifted) == pytest.approx(float(compute_iou(*pair)))


def test_the_hausdorff_distance_is_the_farthest_voxel_and_its_percentile_is_not(a_cube: np.ndarray) -> None:
    spike = a_cube.copy()
    spike[30, 30, 15:18] = True

    assert hausdorff(spike, a_cube, spacing=FLAT) == pytest.approx(3 * 4.0)
    assert hausdorff95(spike, a_cube, spacing=FLAT) == 0.0
    assert hausdorff(a_cube, np.roll(a_cube, 7, axis=1), spacing=FLAT) == pytest.approx(7.0)


def test_a_distance_to_nothing_is_infinite(a_cube: np.ndarray, an_empty_mask: np.ndarray) -> None:
    assert hausdorff(an_empty_mask, an_empty_mask, spacing=FLAT) == 0.0
    assert hausdorff(a_cube, an_empty_mask, spacing=FLAT) == hausdorff95(an_empty_mask, a_cube, spacing=FLAT) == np.inf
