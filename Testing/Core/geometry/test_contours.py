"""Contours enclose the pixels of their mask, every one and no other, with holes joined to their outlines."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.geometry.contours import contours, filled, keyholed, signed_area


def rings():
    """A piece with a hole, in which there is an island with a hole of its own; and a pixel that touches a corner."""
    i, j = np.mgrid[:31, :33]
    radius = np.hypot(i - 14, j - 16)
    pixels = ((radius < 14) & (radius > 10)) | ((radius < 7) & (radius > 3))
    pixels[28:30, 30] = pixels[30, 31] = True
    return pixels


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.98])
def test_of_scattered_pixels_the_contours_enclose_the_pixels_again(share):
    rng = np.random.default_rng(5)
    for _ in range(25):
        pixels = rng.random(rng.integers(2, 24, 2)) < share
        assert np.array_equal(filled(contours(pixels), pixels.shape), pixels)
        assert np.array_equal(filled(keyholed(contours(pixels)), pixels.shape), pixels)


def test_holes_run_against_their_outlines_and_are_joined_to_them():
    pixels = rings()
    found = contours(pixels)
    areas = [signed_area(polygon) for polygon in found]
    assert (sum(area > 0 for area in areas), sum(area < 0 for area in areas)) == (4, 2)
    joined = keyholed(found)
    assert len(joined) == 4
    assert all(signed_area(polygon) > 0 for polygon in joined)
    assert np.array_equal(filled(joined, pixels.shape), pixels)


def test_a_pixel_alone_has_a_contour_of_half_its_area():
    (polygon,) = contours(np.ones((1, 1), dtype=bool))
    assert len(polygon) == 4
    assert signed_area(polygon) == pytest.approx(0.5)


def test_nothing_has_no_contour():
    assert contours(np.zeros((4, 5), dtype=bool)) == []
    assert keyholed([]) == []
