from dataclasses import dataclass, replace

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.session import Session
from inference_core.errors import ModelError, VolumeError
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet


@dataclass
class BrokenModel(BrightnessModel):
    """Gives numbers that are none, in its logits or in its own estimate, as weights that overflow do."""

    logit: float = 0.0
    estimate: float = 0.5

    def decode(self, embedding, prompts, prior):
        decoded = super().decode(embedding, prompts, prior)
        decoded.low_res_logits[3, 4, 5] += self.logit
        return replace(decoded, quality=self.estimate)


@pytest.fixture
def a_volume():
    grid = oblique_grid(5, 1)
    return Volume(spheres(grid, [(grid.center_ras, 9.0)]), grid)


def test_logits_that_are_not_numbers_are_refused_and_not_cut_into_a_mask(a_volume):
    prompts = PromptSet((Click(tuple(a_volume.grid.center_ras)),))
    with pytest.raises(ModelError, match=r"Brightness gave an answer that is not a number; .*float32\.$"):
        Session(a_volume, BrokenModel(logit=float("nan"))).predict(prompts)


@pytest.mark.parametrize("estimate", [float("nan"), float("inf"), -float("inf")])
def test_an_estimate_that_is_not_a_number_is_no_estimate(a_volume, estimate):
    prompts = PromptSet((Click(tuple(a_volume.grid.center_ras)),))
    answer = Session(a_volume, BrokenModel(estimate=estimate)).predict(prompts)
    assert answer.quality is None
    assert answer.mask.array.any()
    assert np.isfinite(answer.low_res_logits).all()


@pytest.mark.parametrize("largest", [1e16, 1e38, 1e300])
def test_values_that_float32_cannot_hold_are_the_images_fault_and_not_the_weights(a_volume, largest):
    volume = Volume(a_volume.array.astype(np.float64) * largest, a_volume.grid)
    prompts = PromptSet((Click(tuple(volume.grid.center_ras)),))
    with pytest.raises(VolumeError, match="values beyond 1e\\+15; scale them"):
        Session(volume, BrightnessModel()).predict(prompts)
