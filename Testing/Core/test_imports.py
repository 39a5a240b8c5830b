"""What importing loads: a terminal's `--help` and Slicer must not wait for torch or SimpleITK."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

import inference_core

PACKAGE = Path(inference_core.__file__).parent


def modules_under(folder: str) -> list[str]:
    files = sorted((PACKAGE / folder).glob("*.py"))
    return [f"inference_core.{folder}.{file.stem}" for file in files if file.stem != "__init__"]


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in memory after a fresh Python has imported some modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_package_loads_neither_torch_nor_simpleitk():
    assert loaded_by("inference_core") & {"torch", "SimpleITK", "numpy", "scipy"} == set()


@pytest.mark.parametrize("folder", ["geometry", "prompts"])
def test_geometry_and_prompts_load_neither_torch_nor_simpleitk(folder):
    modules = modules_under(folder)
    assert len(modules) >= 3
    assert loaded_by(*modules) & {"torch", "SimpleITK", "scipy"} == set()


@pytest.mark.parametrize("module", ["models.spec", "models.registry", "models.store", "models.download"])
def test_what_is_known_of_models_is_known_without_torch(module):
    assert loaded_by(f"inference_core.{module}") & {"torch", "SimpleITK", "scipy"} == set()


def test_a_module_that_needs_torch_would_be_noticed():
    assert "torch" in loaded_by("inference_core.models.interface")


def test_the_version_is_one_that_package_indexes_accept():
    assert str(Version(inference_core.__version__)) == inference_core.__version__


def told_of_waiting(code: str, **environment: str) -> str | None:
    """How often torch's OpenMP spins before a thread sleeps, in a fresh Python; None where it is not GNU's."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", run.stderr)
    return None if found is None else found[1]


def test_torchs_threads_wait_without_spinning_unless_the_environment_says_how():
    if told_of_waiting("import torch") is None:
        pytest.skip("torch's OpenMP is not GNU's, which alone tells how it waits")
    ours = "import inference_core.engine.device; inference_core.engine.device.choose_device()"
    assert told_of_waiting("import torch") != "0"
    assert told_of_waiting(ours) == "0"
    assert told_of_waiting(ours, OMP_WAIT_POLICY="ACTIVE") != "0"
