"""The simulated user against a brute-force reading of the protocol, and against the protocol's own script."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from support.shared import SHARED

from inference_core.errors import PromptError
from inference_core.prompts.simulation import deepest_voxel, next_click, voxel_anywhere, voxel_near_the_border

SPACING = (0.8, 1.1, 4.0)


def brute_force_depth(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[tuple[int, int, int], float]:
    """Depth in mm of every voxel in a mask, measured to every voxel outside it and to one layer beyond the array."""
    padded = np.pad(mask, 1)
    outside = (np.argwhere(~padded) - 1) * spacing
    return {
        tuple(voxel): float(np.sqrt(((outside - voxel * np.array(spacing)) ** 2).sum(axis=1)).min())
        for voxel in np.argwhere(mask)
    }


def flood_fill_components(mask: np.ndarray) -> list[set[tuple[int, int, int]]]:
    """Face-connected components of a mask, found voxel by voxel."""
    left, components = set(map(tuple, np.argwhere(mask))), []
    while left:
        front, component = [left.pop()], set()
        while front:
            voxel = front.pop()
            component.add(voxel)
            for axis, step in itertools.product(range(3), (-1, 1)):
                neighbor = tuple(c + step * (n == axis) for n, c in enumerate(voxel))
                if neighbor in left:
                    left.remove(neighbor)
                    front.append(neighbor)
        components.append(component)
    return components


def blobs(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A random mask of a few smooth pieces, some of them cut by the border."""
    return ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.08


@pytest.fixture
def the_protocol_script() -> Any:
    path = SHARED / "tools" / "clicks.py"
    if not path.exists():
        pytest.skip(f"the protocol's reference script is not at {path}")
    spec = importlib.util.spec_from_file_location("reference_clicks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_the_first_click_is_as_deep_as_any_voxel_can_be(seed: int) -> None:
    mask = blobs(np.random.default_rng(seed), (11, 9, 7))
    depth = brute_force_depth(mask, SPACING)

    voxel = deepest_voxel(mask, SPACING)

    assert depth[voxel] == pytest.approx(max(depth.values()))


@pytest.mark.parametrize("seed", range(6))
def test_the_next_click_is_the_deepest_voxel_of_the_largest_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, mask = blobs(rng, (10, 9, 7)), blobs(rng, (10, 9, 7))
    missed, spilled = flood_fill_components(target & ~mask), flood_fill_components(mask & ~target)
    largest = max(len(component) for component in missed + spilled)

    click = next_click(target, mask, SPACING)

    assert click is not None
    voxel, positive = click
    [component] = [found for found in (missed if positive else spilled) if voxel in found]
    assert len(component) == largest
    alone = np.zeros(target.shape, dtype=bool)
    alone[tuple(np.array(list(component)).T)] = True
    depth = brute_force_depth(alone, SPACING)
    assert depth[voxel] == pytest.approx(max(depth.values()))


def test_ties_go_to_the_first_voxel_in_k_j_i_order() -> None:
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[1, 4, 2] = mask[4, 1, 2] = mask[0, 0, 3] = True

    assert deepest_voxel(mask, (1.0, 1.0, 1.0)) == (4, 1, 2)


def test_between_equal_errors_the_missed_target_is_clicked_first() -> None:
    target, mask = np.zeros((8, 8, 8), dtype=bool), np.zeros((8, 8, 8), dtype=bool)
    target[5:7, 5:7, 5:7] = True
    mask[1:3, 1:3, 1:3] = True

    click = next_click(target, mask, SPACING)

    assert click == ((5, 5, 5), True)


def test_a_spill_larger_than_the_missed_part_gets_a_negative_click() -> None:
    target, mask = np.zeros((12, 8, 8), dtype=bool), np.zeros((12, 8, 8), dtype=bool)
    target[1:4, 2:5, 2:5] = True
    mask[3:12, 2:5, 2:5] = True

    click = next_click(target, mask, (1.0, 1.0, 1.0))

    assert click is not None
    assert click == ((5, 3, 3), False)


def test_a_thin_axis_counts_in_millimeters_not_in_voxels() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[2:9, 2:9, 2:9] = True
    mask[12:25, 12:25, 15] = True

    assert deepest_voxel(mask, (1.0, 1.0, 1.0)) == (5, 5, 5)
    assert deepest_voxel(mask, (1.0, 1.0, 20.0)) == (18, 18, 15)


def test_a_perfect_mask_needs_no_click() -> None:
    mask = blobs(np.random.default_rng(1), (8, 8, 8))

    assert next_click(mask, mask.copy(), SPACING) is None


def test_an_empty_target_is_refused() -> None:
    with pytest.raises(PromptError, match="target is empty"):
        deepest_voxel(np.zeros((4, 4, 4), dtype=bool), SPACING)


def assert_same_clicks(script: Any, *, target: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Compare both clicks with the script's, which takes and gives (k, j, i)."""
    expected = script.next_click(target.T.copy(), mask.T.copy(), spacing[::-1])
    turned = None if expected is None else (tuple(expected[0][::-1]), expected[1])
    assert next_click(target, mask, spacing) == turned
    assert deepest_voxel(target, spacing) == tuple(script.deepest(target.T.copy(), spacing[::-1])[::-1])


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("spacing", [SPACING, (1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
def test_clicks_equal_the_protocol_script_on_random_masks(
    the_protocol_script: Any, *, seed: int, spacing: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(5, 24, size=3))
    target, mask = blobs(rng, shape), blobs(rng, shape)
    target[0, 0, 0] = True

    assert_same_clicks(the_protocol_script, target=target, mask=mask, spacing=spacing)


@pytest.mark.parametrize("case", ["ct_sarcoma_sts003", "ct_liver_mets_crlm1006", "mr_ms_lesions_p26"])
def test_clicks_equal_the_protocol_script_on_real_labels(the_protocol_script: Any, case: str) -> None:
    import SimpleITK as sitk

    files = sorted((SHARED / "data" / case).glob("*label*.nii.gz"))
    if not files:
        pytest.skip(f"there is no label in {SHARED / 'data' / case}")
    image = sitk.ReadImage(files[0])
    labels = sitk.GetArrayFromImage(image).T
    target = labels == np.unique(labels)[-1]
    mask = np.roll(ndimage.binary_dilation(target, iterations=2), (3, -2, 1), axis=(0, 1, 2))

    assert_same_clicks(the_protocol_script, target=target, mask=mask, spacing=image.GetSpacing())


@pytest.mark.parametrize("seed", range(6))
def test_other_first_clicks_are_in_the_target_where_they_say_and_repeatable(seed):
    """A ball of 9 mm on anisotropic voxels, against depths taken from its middle."""
    spacing = (0.9, 1.4, 2.0)
    middle = np.array([14.2, 10.1, 8.3])
    places = np.moveaxis(np.indices((30, 22, 18)), 0, -1) - middle
    radius = np.linalg.norm(places * spacing, axis=-1)
    target = radius < 9
    anywhere, border = (choose(target, spacing, seed=seed) for choose in (voxel_anywhere, voxel_near_the_border))
    assert target[anywhere]
    assert target[border]
    assert radius[border] > 9 * 0.75 - 2.0
    assert voxel_anywhere(target, spacing, seed=seed) == anywhere
    assert len({voxel_anywhere(target, spacing, seed=n) for n in range(6)}) > 4
