from pathlib import Path

import pytest

from inference_core.models.registry import get_spec
from inference_core.models.sam_med3d import SamMed3D, build


@pytest.fixture(scope="session")
def the_sam_med3d_references() -> Path:
    return Path(__file__).parents[2] / "Data" / "sam_med3d"


@pytest.fixture(scope="session")
def a_small_sam_med3d(the_sam_med3d_references: Path) -> SamMed3D:
    return build(get_spec("sam_med3d"), the_sam_med3d_references / "small.safetensors", "cpu")
