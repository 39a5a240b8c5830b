import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_core.errors import ModelError, Remedy
from inference_core.models import store
from inference_core.models.registry import all_specs, get_spec

FETCHED, BUNDLED = get_spec("sam_med3d"), get_spec("sam3d_lite")


@pytest.fixture
def a_models_folder(tmp_path, monkeypatch):
    folder = tmp_path / "weights of mine"
    folder.mkdir()
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(folder))
    return folder


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def an_installed_tree(tmp_path, monkeypatch):
    """The package one level away from Resources, as an extension installs it."""
    (tmp_path / "lib" / "Resources" / "Models").mkdir(parents=True)
    monkeypatch.setattr(
        store, "__file__", str(tmp_path / "lib" / "scripted" / "inference_core" / "models" / "store.py")
    )
    return tmp_path / "lib"


def test_fetched_weights_are_found_in_the_users_folder(a_models_folder):
    assert store.installed_path(FETCHED) is None
    path = put(a_models_folder / FETCHED.checkpoint.filename)
    assert store.installed_path(FETCHED) == path
    assert store.require_installed(FETCHED) == path


def test_bundled_weights_are_found_beside_the_installed_package(a_models_folder, an_installed_tree):
    assert store.installed_path(BUNDLED) is None
    path = put(an_installed_tree / "Resources" / "Models" / BUNDLED.checkpoint.filename)
    assert store.resources_dir() == an_installed_tree / "Resources"
    assert store.installed_path(BUNDLED) == path


def test_the_users_copy_goes_before_the_bundled_one(a_models_folder, an_installed_tree):
    put(an_installed_tree / "Resources" / "Models" / BUNDLED.checkpoint.filename)
    path = put(a_models_folder / BUNDLED.checkpoint.filename)
    assert store.installed_path(BUNDLED) == path


def test_weights_to_be_fetched_are_not_looked_for_among_the_bundled_ones(a_models_folder, an_installed_tree):
    put(an_installed_tree / "Resources" / "Models" / FETCHED.checkpoint.filename)
    assert store.installed_path(FETCHED) is None


def test_resources_may_be_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "__file__", str(tmp_path / "site-packages" / "inference_core" / "models" / "store.py"))
    assert store.resources_dir() is None


def test_a_model_that_is_not_installed_is_refused_with_the_way_to_get_it(a_models_folder, an_installed_tree):
    with pytest.raises(ModelError, match="is not installed; fetch its weights first") as caught:
        store.require_installed(FETCHED)
    assert (caught.value.remedy, caught.value.values["model"]) == (Remedy.INSTALL, "sam_med3d")
    with pytest.raises(ModelError, match=r"'sam3d_lite.safetensors' is missing from Resources/Models"):
        store.require_installed(BUNDLED)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_DATA_HOME", ("data", "SAM3DSegment", "models")),
        ("win32", "LOCALAPPDATA", ("data", "SAM3DSegment", "models")),
        ("darwin", "HOME", ("data", "Library", "Application Support", "SAM3DSegment", "models")),
        ("linux", "HOME", ("data", ".local", "share", "SAM3DSegment", "models")),
    ],
)
def test_each_platform_has_its_place_for_a_users_data(tmp_path, monkeypatch, platform, variable, expected):
    for name in (store.FOLDER_VARIABLE, "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", platform)
    assert store.models_dir() == tmp_path.joinpath(*expected)


def test_the_store_the_registry_and_the_download_start_without_torch():
    code = "import sys, inference_core.models.store, inference_core.models.download; sys.exit('torch' in sys.modules)"
    root = Path(store.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_every_model_has_its_own_file():
    names = [spec.checkpoint.filename for spec in all_specs()]
    assert len(set(names)) == len(names)
