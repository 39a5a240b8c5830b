"""Volumes: which arrays are taken, and that they are kept as they are."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.errors import VolumeError
from inference_core.geometry.volume import Volume

REAL_TYPES = [np.bool_, np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64, ">i2"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_an_array_keeps_its_type_layout_and_memory(a_left_handed_grid, dtype, order):
    array = np.zeros(a_left_handed_grid.shape, dtype=dtype, order=order)
    assert Volume(array, a_left_handed_grid).array is array


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 6, 7, 2)), "'CTChest' has 4 dimensions"),
        (np.zeros((5, 6)), "'CTChest' has 2 dimensions"),
        (np.zeros((5, 6, 7), dtype=complex), "'CTChest' holds complex numbers"),
        (np.zeros((5, 6, 7), dtype="U3"), "'CTChest' holds no numbers"),
        (np.zeros((5, 6, 7), dtype=object), "'CTChest' holds no numbers"),
        (np.zeros((5, 6, 7), dtype=[("r", "u1"), ("g", "u1")]), "'CTChest' holds no numbers"),
        (np.zeros((7, 6, 5)), r"'CTChest' has \(7, 6, 5\) voxels but a grid of \(5, 6, 7\)"),
    ],
)
def test_an_array_that_is_no_scalar_volume_of_its_grid_is_refused(an_oblique_grid, array, sentence):
    with pytest.raises(VolumeError, match=sentence):
        Volume(array, an_oblique_grid, "CTChest")
