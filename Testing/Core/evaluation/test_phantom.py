"""The phantom: the same for the same seed, and its truth is where its image says it is, on tilted grids too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from inference_core.errors import VolumeError
from inference_core.evaluation.phantom import LABEL_NAMES, Phantom, make_phantom

COARSE: Any = {"shape": (104, 84, 64), "spacing": (3.3, 3.3, 3.75)}
LABEL_OF = {name: label for label, name in LABEL_NAMES.items()}


@pytest.fixture(scope="module")
def a_phantom() -> Phantom:
    return make_phantom(**COARSE, seed=5)


@pytest.fixture(scope="module")
def an_oblique_phantom() -> Phantom:
    return make_phantom(**COARSE, seed=5, oblique_degrees=17.0)


@pytest.fixture(params=["a_phantom", "an_oblique_phantom"])
def either_phantom(request: pytest.FixtureRequest) -> Phantom:
    phantom: Phantom = request.getfixturevalue(request.param)
    return phantom


def test_the_same_seed_gives_the_same_patient(a_phantom: Phantom) -> None:
    again = make_phantom(**COARSE, seed=5)

    assert np.array_equal(again.volume.array, a_phantom.volume.array)
    assert np.array_equal(again.labels.array, a_phantom.labels.array)
    assert again.tumors == a_phantom.tumors


def test_another_seed_gives_another_patient(a_phantom: Phantom) -> None:
    other = make_phantom(**COARSE, seed=6)

    assert not np.array_equal(other.labels.array, a_phantom.labels.array)


def test_image_and_labels_share_a_grid_in_the_types_of_a_scanner(either_phantom: Phantom) -> None:
    assert either_phantom.volume.array.dtype == np.int16
    assert either_phantom.labels.array.dtype == np.uint8
    assert either_phantom.volume.grid == either_phantom.labels.grid
    assert either_phantom.volume.grid.axis_codes == "LPS"


def test_three_tumors_are_listed_with_the_volume_of_their_voxels(either_phantom: Phantom) -> None:
    labels = either_phantom.labels

    assert [tumor.label for tumor in either_phantom.tumors] == [1, 2, 3]
    for tumor in either_phantom.tumors:
        voxels = np.count_nonzero(labels.array == tumor.label)
        assert tumor.volume_ml == pytest.approx(voxels * 3.3 * 3.3 * 3.75 / 1000)
        assert labels.array[labels.grid.voxel_of(tumor.center_ras)] == tumor.label


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("tumor", "organ"), [(1, "liver"), (2, "liver"), (3, "left kidney")])
def test_every_tumor_grows_in_its_organ(*, seed: int, tumor: int, organ: str) -> None:
    labels = make_phantom(**COARSE, seed=seed).labels.array
    inside = labels == tumor
    around = labels[ndimage.binary_dilation(inside) & ~inside]

    in_organ = np.mean(around == LABEL_OF[organ])

    # The kidney mass grows out of its kidney; the metastases are within the liver.
    assert in_organ > (0.15 if organ == "left kidney" else 0.95)
    assert ndimage.label(inside)[1] == 1


def test_sizes_are_those_of_a_three_centimeter_and_a_one_centimeter_lesion() -> None:
    large, small, mass = make_phantom(shape=(160, 130, 100), spacing=(2.0, 2.0, 2.5), seed=1).tumors

    assert 8 < large.volume_ml < 22
    assert 0.4 < small.volume_ml < 0.8
    assert 15 < mass.volume_ml < 35


def test_the_image_shows_the_contrast_that_is_stated(either_phantom: Phantom) -> None:
    image, labels = either_phantom.volume.array, either_phantom.labels.array
    for tumor, organ in zip(either_phantom.tumors, ("liver", "liver", "left kidney"), strict=True):
        inside = labels == tumor.label
        # Blur mixes tissues at a border; a centimeter lesion is nearly all border on this grid.
        core = ndimage.binary_erosion(inside) if tumor.volume_ml > 2 else inside
        healthy = ndimage.binary_erosion(labels == LABEL_OF[organ])
        assert image[core].mean() == pytest.approx(tumor.hu, abs=14)
        assert np.median(image[healthy]) == pytest.approx(tumor.organ_hu, abs=15)
        assert image[core].mean() < np.median(image[healthy]) - 25


def test_a_tilted_grid_cuts_the_same_patient(a_phantom: Phantom, an_oblique_phantom: Phantom) -> None:
    upright = a_phantom.labels
    assert not np.allclose(an_oblique_phantom.labels.grid.affine, upright.grid.affine)
    for straight, tilted in zip(a_phantom.tumors, an_oblique_phantom.tumors, strict=True):
        assert tilted.volume_ml == pytest.approx(straight.volume_ml, rel=0.15)
        assert upright.array[upright.grid.voxel_of(tilted.center_ras)] == straight.label


def test_tissues_have_textbook_hounsfield_units(either_phantom: Phantom) -> None:
    image, labels = either_phantom.volume.array, either_phantom.labels.array

    def middle(name: str) -> float:
        return float(np.median(image[ndimage.binary_erosion(labels == LABEL_OF[name])]))

    assert image[0, 0, 0] < -900
    assert 95 < middle("liver") < 120
    assert 105 < middle("spleen") < 135
    assert 150 < middle("aorta") < 190
    assert 80 < middle("spine") < 300
    # Air and lung, fat, soft tissue: the three humps of every abdominal CT.
    inside = image[:, 20:-20, :]
    assert np.mean(inside < -500) > 0.2
    assert np.mean((inside > -130) & (inside < -70)) > 0.1
    assert np.mean((inside > 30) & (inside < 200)) > 0.2


def test_the_liver_is_on_the_patients_right_and_the_spine_behind(an_oblique_phantom: Phantom) -> None:
    labels = an_oblique_phantom.labels

    def center(name: str) -> np.ndarray:
        return labels.grid.to_ras(np.argwhere(labels.array == LABEL_OF[name]).mean(axis=0))

    assert center("liver")[0] > center("spine")[0] + 30
    assert center("spleen")[0] < center("spine")[0] - 30
    assert center("aorta")[1] > center("spine")[1] + 20
    assert center("liver")[2] > center("right kidney")[2]


def test_a_grid_that_shows_no_tumor_is_refused() -> None:
    with pytest.raises(VolumeError, match="none of the phantom's tumors"):
        make_phantom(shape=(8, 8, 4), spacing=(2.0, 2.0, 2.0))
