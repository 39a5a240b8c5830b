"""MA-SAM's network in its plain form against what the original classes gave, and against the form that is used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from inference_core.benchmark.reference_ma_sam import PlainMaSam, fast_form, prepared
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.weights import load_state_dict

DATA = Path(__file__).parents[2] / "Data" / "ma_sam"
TINY = SamSizes(
    image_size=320, width=48, depth=2, heads=3, window=7, global_blocks=(1,), prompt_width=64, decoder_hidden=64,
    mask_tokens=3, upscaled=(16, 8),
)  # fmt: skip


@torch.inference_mode()
def test_the_plain_form_gives_the_original_networks_logits():
    files = load_state_dict(DATA / "delta_auto.safetensors"), load_state_dict(DATA / "base_small.safetensors")
    with np.load(DATA / "network.npz") as file:
        image, wanted = torch.from_numpy(file["image_u8"]).float() / 255, file["auto/masks"]
    found = PlainMaSam(files, fast_form(files)).logits(image)[:, :, ::4, ::4].numpy()
    assert np.abs(found - wanted).max() < 1e-3
    assert np.abs(found - wanted).mean() < 1e-5


@torch.inference_mode()
def test_both_forms_agree_where_windows_reach_beyond_the_grid():
    for sizes in (TINY, replace(TINY, window=4)):
        (fast, stack), (plain, same) = (
            prepared(form, sam=sizes, adapter_width=20, rank=4) for form in ("fast", "plain")
        )
        assert torch.equal(stack, same)
        wanted = plain(stack)
        assert wanted.std() > 0.1
        for _ in range(2):  # the second time, all but the last slice are embedded already
            assert torch.allclose(fast(stack), wanted, atol=1e-3)
