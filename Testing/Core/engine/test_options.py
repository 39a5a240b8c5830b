import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import made_or_refused
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import Session
from inference_core.errors import OptionError
from inference_core.geometry.volume import Volume

ANYTHING = st.none() | st.booleans() | st.text(max_size=3) | st.floats() | st.integers() | st.complex_numbers()


@given(ANYTHING, ANYTHING)
def test_options_of_a_mask_are_numbers_in_their_range_or_refused(threshold, smoothing):
    options = made_or_refused(lambda: MaskOptions(threshold=threshold, smoothing_mm=smoothing))
    if options is None:
        return
    assert np.isfinite(options.threshold)
    assert 0 <= options.smoothing_mm <= 100


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), None, "0", True])
def test_a_threshold_or_smoothing_that_is_no_number_is_refused(bad):
    for name in ("threshold", "smoothing_mm"):
        with pytest.raises(OptionError, match=rf"The {name.removesuffix('_mm')} is "):
            MaskOptions(**{name: bad})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0, 0.001, 1e300, -3.0, "wide", True])
def test_a_window_that_is_no_width_is_refused(bad):
    grid = oblique_grid(3, 1)
    with pytest.raises(OptionError, match="The window is "):
        Session(Volume(spheres(grid, [(grid.center_ras, 9.0)]), grid), BrightnessModel(), window_mm=bad)
