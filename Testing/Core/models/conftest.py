from pathlib import Path

import numpy as np
import pytest

from inference_core.models.registry import get_spec
from inference_core.models.sam_med3d import SamMed3D, build


@pytest.fixture(scope="session")
def the_sam_med3d_references() -> Path:
    return Path(__file__).parents[2] / "Data" / "sam_med3d"


@pytest.fixture(scope="session")
def a_small_sam_med3d(the_sam_med3d_references: Path) -> SamMed3D:
    return build(get_spec("sam_med3d"), the_sam_med3d_references / "small.safetensors", "cpu")


@pytest.fixture(scope="session")
def the_sam_references() -> Path:
    return Path(__file__).parents[2] / "Data" / "sam"


@pytest.fixture(scope="session")
def the_sam_io(the_sam_references: Path) -> dict[str, np.ndarray]:
    """What went into and came out of the small SAM."""
    with np.load(the_sam_references / "small_io.npz") as file:
        return {name: file[name] for name in file.files}
