"""Opening a model is measured on files that its own reader takes, of small size here."""

import pytest

from inference_core.benchmark import opening
from inference_core.benchmark.opening import OpeningCost
from inference_core.errors import ModelError
from inference_core.models.registry import build_model, get_spec
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig

SMALL = {"image_size": 128, "width": 48, "depth": 2, "heads": 2, "global_blocks": (1,), "prompt_width": 32}


@pytest.mark.parametrize(("model", "make"), [("sam", opening._sam), ("ma_sam", opening._stack)])
def test_random_files_are_what_a_family_reads(tmp_path, monkeypatch, model, make):
    monkeypatch.setitem(opening._FILES, model, lambda: make(**SMALL))
    opening.write_files("file", model=model, folder=tmp_path)
    base = {"base": tmp_path / "base.pth"} if get_spec(model).base else {}
    opened = build_model(model, weights=tmp_path / "weights.pth", device="cpu", **base)
    assert opening._weights_of(opened) > 0


def test_a_tumor_models_file_has_the_masks_that_the_authors_save(monkeypatch, tmp_path):
    small = Sam3DAdapterConfig(grid=8, width=48, depth=3, heads=2, cube=4, rows=(7, 7, 15), out=32, head=16)
    monkeypatch.setattr(opening, "Sam3DAdapterConfig", lambda: small)
    opening.write_files("file", model="sam3d_adapter", folder=tmp_path)
    opened = build_model("sam3d_adapter", weights=tmp_path / "weights.pth", device="cpu")
    assert opened.network.config.grid == 8


def test_the_peak_is_told_in_shares_of_the_weights():
    assert OpeningCost(1.0, weights=200, peak=210).share == pytest.approx(1.05)


def test_a_model_without_files_is_refused():
    with pytest.raises(ModelError, match="Opening is measured of sam"):
        opening.opening_cost("sam3d_lite")
