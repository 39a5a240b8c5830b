"""The package as `pip install` brings it, without a checkout: the built-in weights travel inside."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIND_WEIGHTS = """
import inference_core
from inference_core.models.registry import get_spec
from inference_core.models.store import require_installed
print(inference_core.__file__)
print(require_installed(get_spec("sam3d_lite")))
"""


@pytest.fixture(scope="module")
def some_distributions(tmp_path_factory):
    """A folder with a wheel and a source archive, built from a copy of what git has."""
    setuptools = pytest.importorskip("setuptools", minversion="77")
    assert setuptools
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("inference_core", "Resources"):
        shutil.copytree(ROOT / name, source / name, ignore=without_caches)
    code = f"from setuptools import build_meta as b; b.build_sdist({str(built)!r}); b.build_wheel({str(built)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    return built


def test_a_wheel_carries_the_package_and_its_weights_and_nothing_else(some_distributions):
    with zipfile.ZipFile(next(some_distributions.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "inference_core").rglob("*.py")}
    weights = {f"inference_core/Resources/Models/{path.name}" for path in (ROOT / "Resources" / "Models").iterdir()}
    data = {"inference_core/py.typed", "inference_core/evaluation/tables/published.json"}
    assert names == package | weights | data


def test_a_source_archive_carries_the_weights(some_distributions):
    with tarfile.open(next(some_distributions.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"Resources/Models/sam3d_lite.safetensors", "setup.py", "inference_core/py.typed"} <= names


def test_an_installed_wheel_finds_its_weights(some_distributions, tmp_path):
    with zipfile.ZipFile(next(some_distributions.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SAM3DSEGMENT_MODELS": str(tmp_path / "nowhere")}
    found = subprocess.run(
        [sys.executable, "-c", FIND_WEIGHTS], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert Path(found[0]) == tmp_path / "inference_core" / "__init__.py"
    assert Path(found[1]) == tmp_path / "inference_core" / "Resources" / "Models" / "sam3d_lite.safetensors"
