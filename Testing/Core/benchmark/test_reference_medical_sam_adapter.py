"""The shortcuts in Medical SAM Adapter's encoder give what its plain form gives."""

import pytest
import torch

from inference_core.benchmark.comparison import compare
from inference_core.benchmark.reference_medical_sam_adapter import prepared
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.medical_sam_adapter.network import AdaptedSizes

SMALL = SamSizes(image_size=144, width=64, depth=4, heads=4, window=7, global_blocks=(1, 3), prompt_width=32)


@pytest.mark.parametrize("slices", [1, 6], ids=["2D", "through depth"])
@pytest.mark.parametrize("tables", [None, 9, 12], ids=["no tables", "tables", "tables of another size"])
def test_the_shortcuts_give_what_the_plain_form_gives(tables, slices):
    sizes = AdaptedSizes(SMALL, tables, residual=True)
    (fast, images), (plain, same) = (prepared(form, sizes=sizes, slices=slices) for form in ("fast", "plain"))
    forms = compare(fast, plain, images, repeats=1)
    assert torch.equal(images, same)
    assert forms.embedding_std > 0.5
    assert forms.largest_difference < 2e-5
