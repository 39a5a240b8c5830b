"""The command line as a user starts it, a small oblique CT to work on, and a small model that every clone has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.evaluation.phantom import Phantom, make_phantom
from inference_core.io.files import write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.store import installed_path

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def an_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This process's environment, one thread, and no weights but the bundled ones."""
    models = tmp_path_factory.mktemp("models") / "none"
    return {**os.environ, "OMP_NUM_THREADS": "1", "SAM3DSEGMENT_MODELS": str(models)}


@pytest.fixture
def run(an_environment: dict[str, str]) -> Run:
    """`python -m inference_core` with arguments, in a process of its own."""

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inference_core", *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=an_environment, capture_output=True, text=True, timeout=100, check=False
        )

    return start


@pytest.fixture(scope="session")
def a_phantom() -> Phantom:
    return make_phantom(shape=(88, 72, 52), spacing=(3.9, 3.9, 4.6), seed=3, oblique_degrees=14.0)


@pytest.fixture(scope="session")
def a_ct(a_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as an image file that is read without SimpleITK or torch."""
    path = tmp_path_factory.mktemp("ct") / "ct.nii.gz"
    sitk.WriteImage(sitk_from_array(a_phantom.volume.array, a_phantom.volume.grid), str(path))
    return path


@pytest.fixture(scope="session")
def its_labels(a_phantom: Phantom, a_ct: Path) -> Path:
    path = a_ct.with_name("labels.nii.gz")
    write_labels(path, a_phantom.labels.array, a_phantom.labels.grid)
    return path


@pytest.fixture(scope="session")
def a_target_click(a_phantom: Phantom) -> tuple[str, str, str]:
    """The middle of the larger liver tumor, as arguments."""
    r, a, s = next(tumor for tumor in a_phantom.tumors if tumor.label == 1).center_ras
    return f"{r:.3f}", f"{a:.3f}", f"{s:.3f}"


@pytest.fixture(scope="session")
def a_small_model() -> tuple[str, ...]:
    """The options for a small SAM-Med3D with random weights."""
    return ("--model", "sam_med3d", "--weights", str(ROOT / "Testing" / "Data" / "sam_med3d" / "small.safetensors"))


@pytest.fixture(scope="session")
def the_default_model() -> str:
    """The default model's name, where its weights are in the checkout."""
    if installed_path(get_spec(DEFAULT_MODEL)) is None:
        pytest.skip(f"the weights of {DEFAULT_MODEL} are not in Resources/Models")
    return DEFAULT_MODEL


@pytest.fixture(scope="session")
def unread_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file for runs that end before weights are read."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    path.write_bytes(b"never read")
    return path


@pytest.fixture(scope="session")
def bad_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images that cannot be segmented."""
    folder = tmp_path_factory.mktemp("bad")
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkInt16), str(folder / "four_dimensions.nii.gz"))
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), str(folder / "color.nrrd"))
    sitk.WriteImage(sitk.Image([8, 8, 1], sitk.sitkInt16), str(folder / "one_slice.nii.gz"))
    (folder / "empty.nii.gz").touch()
    (folder / "text.txt").write_text("no image")
    (folder / "no_series").mkdir()
    holes = np.full((20, 20, 20), np.nan, dtype=np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(holes), str(folder / "holes.nii.gz"))
    return folder
