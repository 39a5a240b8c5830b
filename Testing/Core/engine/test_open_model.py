"""Opening a model: which file is read, and what is checked before it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from inference_core.engine import loading
from inference_core.engine.open_model import open_model
from inference_core.errors import CheckpointError, DeviceError, ModelError
from inference_core.models import sam3d_lite, sam_med3d
from inference_core.models.registry import get_spec
from inference_core.models.store import FOLDER_VARIABLE
from inference_core.models.weights import sha256_of

SMALL = Path(__file__).parents[2] / "Data" / "sam_med3d" / "small.safetensors"


@pytest.fixture
def a_models_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def built(monkeypatch) -> list[SimpleNamespace]:
    """What the two families were asked to build; nothing is built."""
    asked: list[SimpleNamespace] = []

    def build(spec, weights, device):
        asked.append(SimpleNamespace(spec=spec, weights=weights, device=device))
        return asked[-1]

    for family in (sam3d_lite, sam_med3d):
        monkeypatch.setattr(family, "build", build)
    return asked


@pytest.fixture
def published(monkeypatch):
    """A function that makes the registry say which sha256 a model's weights have."""

    def as_(sha256: str | None) -> None:
        spec = get_spec("sam_med3d")
        stated = replace(spec, checkpoint=replace(spec.checkpoint, sha256=sha256))
        monkeypatch.setattr(loading, "get_spec", lambda name: stated)

    return as_


def put(folder: Path, content: bytes = b"weights") -> Path:
    path = folder / get_spec("sam_med3d").checkpoint.filename
    path.write_bytes(content)
    return path


def test_a_model_opens_from_a_file_of_the_users_own_on_a_device():
    model = open_model("sam_med3d", device="cpu", weights=SMALL)
    assert model.spec.name == "sam_med3d"
    assert model.device == "cpu"


def test_the_installed_weights_are_read_where_no_file_is_given(a_models_folder, built):
    path = put(a_models_folder)
    open_model("sam_med3d", device="cpu")
    assert [(asked.spec.name, asked.weights, asked.device) for asked in built] == [("sam_med3d", path, "cpu")]


def test_a_file_of_the_users_own_goes_before_the_installed_one(a_models_folder, built, tmp_path):
    put(a_models_folder)
    open_model("sam_med3d", device="cpu", weights=tmp_path / "mine.pth")
    assert built[0].weights == tmp_path / "mine.pth"


def test_auto_is_turned_into_a_device_before_the_model_is_built(a_models_folder, built, monkeypatch):
    put(a_models_folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    open_model("sam_med3d")
    assert built[0].device == "cuda"


def test_an_absent_device_is_refused(a_models_folder, built, monkeypatch):
    put(a_models_folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no cuda device"):
        open_model("sam_med3d", device="cuda")
    assert built == []


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="no model 'sam4d'"):
        open_model("sam4d", weights=SMALL)


def test_a_model_that_is_not_installed_is_refused_with_the_command_that_fetches_it(a_models_folder):
    with pytest.raises(ModelError, match="not installed; run `python -m inference_core download sam_med3d`"):
        open_model("sam_med3d", device="cpu")


def test_installed_weights_that_were_not_published_are_refused_unread(a_models_folder, built, published):
    put(a_models_folder)
    published("0" * 64)
    with pytest.raises(CheckpointError, match="not the published file"):
        open_model("sam_med3d", device="cpu")
    assert built == []


def test_installed_weights_that_were_published_are_read(a_models_folder, built, published):
    published(sha256_of(put(a_models_folder)))
    open_model("sam_med3d", device="cpu")
    assert len(built) == 1


def test_weights_of_the_users_own_need_not_be_the_published_ones(a_models_folder, built, published, tmp_path):
    """They may be fine-tuned."""
    published("0" * 64)
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"other weights")
    open_model("sam_med3d", device="cpu", weights=mine)
    assert built[0].weights == mine


def test_weights_of_another_model_are_refused():
    with pytest.raises(CheckpointError, match="of another model"):
        open_model("sam3d_lite", device="cpu", weights=SMALL)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no weights file"):
        open_model("sam3d_lite", device="cpu", weights=tmp_path / "absent.safetensors")
