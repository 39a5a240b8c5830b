"""Opening a model: which file is read, and what is checked before it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference_core.engine.open_model import open_model
from inference_core.errors import CheckpointError, DeviceError, ModelError
from inference_core.models.registry import get_spec
from inference_core.models.spec import ModelSpec
from inference_core.models.store import FOLDER_VARIABLE
from inference_core.models.weights import sha256_of

SMALL = Path(__file__).parents[2] / "Data" / "sam_med3d" / "small.safetensors"


@pytest.fixture
def a_models_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def recording(sha256: str | None = None) -> ModelSpec:
    """The spec of SAM-Med3D with a published sha256, whose builder remembers what it is asked for."""
    spec = get_spec("sam_med3d")
    stated = replace(spec.checkpoint, sha256=sha256)
    return replace(spec, checkpoint=stated, builder="support.recorded_builds:build")


def put(folder: Path, content: bytes = b"weights") -> Path:
    path = folder / get_spec("sam_med3d").checkpoint.filename
    path.write_bytes(content)
    return path


def test_a_model_opens_from_a_file_of_the_users_own_on_a_device():
    model = open_model("sam_med3d", device="cpu", weights=SMALL)
    assert model.spec.name == "sam_med3d"
    assert model.device == "cpu"


def test_the_installed_weights_are_read_where_no_file_is_given(a_models_folder):
    path = put(a_models_folder)
    built = open_model(recording(), device="cpu")
    assert (built.weights, built.device, built.precision) == (path, "cpu", "auto")


def test_a_file_of_the_users_own_goes_before_the_installed_one(a_models_folder, tmp_path):
    put(a_models_folder)
    assert open_model(recording(), device="cpu", weights=tmp_path / "mine.pth").weights == tmp_path / "mine.pth"


def test_the_base_is_the_installed_one_unless_a_file_is_given(a_models_folder, tmp_path):
    spec = replace(get_spec("ma_sam_box"), base="sam_med3d", builder="support.recorded_builds:build")
    path = put(a_models_folder)
    assert open_model(spec, device="cpu", weights=path).base == path
    assert open_model(spec, device="cpu", weights=path, base=tmp_path / "other.pth").base == tmp_path / "other.pth"


def test_auto_is_turned_into_a_device_before_the_model_is_built(a_models_folder, monkeypatch):
    put(a_models_folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert open_model(recording()).device == "cuda"


def test_an_absent_device_is_refused(a_models_folder, monkeypatch):
    put(a_models_folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no cuda device"):
        open_model(recording(), device="cuda")


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="no model 'sam4d'"):
        open_model("sam4d", weights=SMALL)


def test_a_model_that_is_not_installed_is_refused_with_the_command_that_fetches_it(a_models_folder):
    with pytest.raises(ModelError, match="SAM-Med3D turbo is not installed; fetch its weights"):
        open_model("sam_med3d", device="cpu")


def test_installed_weights_that_were_not_published_are_refused_unread(a_models_folder):
    put(a_models_folder)
    with pytest.raises(CheckpointError, match="not the published file"):
        open_model(recording("0" * 64), device="cpu")


def test_installed_weights_that_were_published_are_read(a_models_folder):
    path = put(a_models_folder)
    assert open_model(recording(sha256_of(path)), device="cpu").weights == path


def test_weights_of_the_users_own_need_not_be_the_published_ones(a_models_folder, tmp_path):
    """They may be fine-tuned."""
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"other weights")
    assert open_model(recording("0" * 64), device="cpu", weights=mine).weights == mine


def test_weights_of_another_model_are_refused():
    with pytest.raises(CheckpointError, match="of another model"):
        open_model("sam3d_lite", device="cpu", weights=SMALL)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no weights file"):
        open_model("sam3d_lite", device="cpu", weights=tmp_path / "absent.safetensors")
