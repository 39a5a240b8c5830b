"""Slices as 8-bit pictures: gray values, and resizing bit for bit as Pillow does it."""

import numpy as np
import pytest

from inference_core.errors import VolumeError
from inference_core.models.blocks.slice_preprocess import LongestSide, eight_bit, resized


def test_a_picture_is_resized_as_the_original_predictor_does(the_sam_io):
    found = LongestSide(128).picture(the_sam_io["enc/image_u8"])
    assert np.array_equal(found, the_sam_io["enc/resized_u8"])


@pytest.mark.parametrize(
    ("before", "after"),
    [((37, 91), (50, 123)), ((150, 90), (102, 61)), ((30, 300), (13, 128)), ((1, 5), (26, 128)), ((64, 64), (64, 64))],
)
def test_any_picture_is_resized_as_pillow_does(before, after):
    """Sizes at which all versions of Pillow agree: newer ones sometimes take the columns first."""
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, before, dtype=np.uint8)
    wanted = image.fromarray(picture).resize(after[::-1], image.Resampling.BILINEAR)
    assert np.array_equal(resized(picture, after), np.asarray(wanted))


def test_the_longer_side_is_scaled_and_points_with_it():
    scale = LongestSide(1024)
    assert scale.shape_of((512, 512)) == (1024, 1024)
    assert scale.shape_of((75, 100)) == (768, 1024)
    assert scale.shape_of((333, 1500)) == (227, 1024)  # 227.3
    assert np.allclose(scale.points(np.array([[50.0, 30.0]]), (333, 1500)), [[50 * 1024 / 1500, 30 * 227 / 333]])


def test_ct_is_shown_in_the_soft_tissue_window():
    gray = eight_bit(np.array([-1000.0, -160, 40, 240, 3000]))
    assert gray.tolist() == [0, 0, 128, 255, 255]


def test_other_images_are_shown_between_their_percentiles():
    values = np.arange(1001, dtype=np.float32) + 70
    values[-1] = 1e6
    gray = eight_bit(values)
    assert (gray[5], gray[6]) == (0, 0)
    assert gray[500] == 128
    assert (gray[994], gray[996]) == (255, 255)


def test_a_slice_of_one_value_is_black():
    assert not eight_bit(np.full((3, 4), 7.0)).any()


def test_voxels_that_are_not_numbers_are_refused():
    with pytest.raises(VolumeError, match="NaN"):
        eight_bit(np.array([0.0, np.inf]))
