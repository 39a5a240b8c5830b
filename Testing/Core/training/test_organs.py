"""Organs for training: every value of a label map is a target; one that the edge cuts goes on in the mirror."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import spheres

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.geometry.volume import Volume
from inference_core.io.files import write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.training.labeled import LabeledVolume, organ_set

FIRST, SECOND = np.array([-5.0, 0.0, 0.0]), np.array([6.0, 2.0, 1.0])


@pytest.fixture
def an_abdomen(tmp_path, a_grid):
    """A folder of one case with two organs and a sliver of a third."""
    case = tmp_path / "case"
    case.mkdir()
    values = np.zeros(a_grid.shape, dtype=np.uint8)
    for value, (at, radius) in {7: (FIRST, 5.0), 21: (SECOND, 4.0), 40: (-SECOND, 0.8)}.items():
        values[spheres(a_grid, [(a_grid.center_ras + at, radius)]) > 0.5] = value
    sitk.WriteImage(sitk_from_array((10 * values).astype(np.int16), a_grid), case / "image.nii.gz")
    write_labels(case / "label.nii.gz", values, a_grid)
    return tmp_path


def test_every_value_is_a_target_but_for_slivers(an_abdomen, a_grid):
    organs = organ_set(an_abdomen)
    assert [round(organ.diameter_mm) for organ in organs] == [10, 8]
    for organ, at in zip(organs, (FIRST, SECOND), strict=True):
        assert np.linalg.norm(organ.interior_ras.mean(axis=0) - a_grid.center_ras - at) < 1.0
    assert organs[0].image is organs[1].image


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="no sub-folder with an image and a label map"):
        organ_set(tmp_path)


def test_a_label_map_without_its_image_is_refused(an_abdomen):
    (an_abdomen / "case" / "image.nii.gz").unlink()
    with pytest.raises(VolumeError, match=r"'case' has a label map but no image"):
        organ_set(an_abdomen)


def test_a_label_map_of_another_shape_is_refused(an_abdomen, a_grid):
    smaller = Grid((9, 9, 9), a_grid.affine)
    write_labels(an_abdomen / "case" / "label.nii.gz", np.ones(smaller.shape, dtype=np.uint8), smaller)
    with pytest.raises(VolumeError, match="differ in shape"):
        organ_set(an_abdomen)


@pytest.mark.parametrize(("first_slice", "seen"), [(0, 2 * 8**3), (4, 8**3)])
def test_a_target_that_the_edge_cuts_goes_on_in_the_mirror_and_another_is_not_doubled(first_slice, seen):
    """A block of 8^3 mm in a slab of 16 slices, in a window of 40 mm that shows the slab's mirror above and below."""
    mask = np.zeros((40, 40, 16), dtype=np.bool_)
    mask[16:24, 16:24, first_slice : first_slice + 8] = True
    slab = LabeledVolume.of(Volume(mask.astype(np.int16), Grid(mask.shape, np.eye(4))), mask)
    window = isotropic_grid(slab.image.grid.center_ras, shape=(40, 40, 40), spacing=1.0)
    assert abs(int(slab.target_in(window).sum()) - seen) <= 0.13 * seen
