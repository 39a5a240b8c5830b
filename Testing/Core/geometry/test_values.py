"""Values that a file leaves out, values of any unit, and volumes that deserve a caution."""

import numpy as np
import pytest

from inference_core.geometry.grid import Grid
from inference_core.geometry.values import background_of, is_constant, unit_exponent, volume_cautions, with_background
from inference_core.geometry.volume import Volume


def volume(array, spacing=(0.7, 0.8, 2.5)):
    return Volume(array, Grid(array.shape, np.diag([*spacing, 1.0])))


@pytest.mark.parametrize(
    ("values", "background"), [([3, np.nan, 8], 0.0), ([-1000, np.inf, 5], -1000.0), ([np.nan, np.nan], None)]
)
def test_background_is_air_or_nothing(values, background):
    assert background_of(np.array(values)) == background


@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1.0, 3.7e9, 1e30])
def test_any_unit_is_brought_to_about_one_without_changing_a_digit(factor):
    values = np.random.default_rng(1).normal(size=100) * factor
    scaled = np.ldexp(values, unit_exponent(values))
    assert 0.5 <= np.abs(scaled).max() < 1
    assert np.array_equal(np.ldexp(scaled, -unit_exponent(values)), values)


def test_the_lowest_whole_number_has_a_magnitude_too():
    assert unit_exponent(np.array([-32768, 5], dtype=np.int16)) == -16
    assert unit_exponent(np.zeros(3)) == 0


def test_one_voxel_among_many_makes_an_image_not_constant():
    array = np.full((70, 80, 90), 5, dtype=np.int16)
    assert is_constant(array)
    array[33, 41, 57] = 6
    assert not is_constant(array)
    assert is_constant(np.array([np.nan, 4.0, 4.0]))


def test_an_ordinary_volume_needs_no_caution():
    assert volume_cautions(volume(np.arange(60.0).reshape(3, 4, 5))) == ()
    assert volume_cautions(volume(np.arange(60.0).reshape(3, 4, 5), (1, 1, 1))) == ()


@pytest.mark.parametrize(
    ("array", "spacing", "words"),
    [
        (np.arange(1204).reshape(2, 2, 301), (1, 1, 1), "exactly 1 x 1 x 1 mm"),
        (np.arange(60).reshape(3, 4, 5), (0.0007, 0.0008, 0.0025), "unusual"),
        (np.arange(60).reshape(3, 4, 5), (700, 800, 2500), "unusual"),
        (np.full((3, 4, 5), 7), (0.7, 0.8, 2.5), "same value"),
        (np.full((3, 4, 5), np.nan), (0.7, 0.8, 2.5), "same value"),
    ],
)
def test_what_looks_wrong_gets_one_line(array, spacing, words):
    (caution,) = volume_cautions(volume(array, spacing))
    assert words in caution


def test_values_that_are_not_finite_become_background_and_others_are_not_copied():
    values = np.array([[3.0, np.nan], [np.inf, -2.0]], np.float32)
    assert with_background(values).tolist() == [[3.0, -2.0], [-2.0, -2.0]]
    assert with_background(values).dtype == np.float32
    whole = np.array([1, 2])
    assert with_background(whole) is whole
    assert np.isnan(with_background(np.array([np.nan]))).all()
