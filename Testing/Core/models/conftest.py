import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support.weights_server import BODY, serving, spec_at
from torch import Tensor

from inference_core.models.registry import get_spec
from inference_core.models.sam_med3d.model import SamMed3D, build
from inference_core.models.store import FOLDER_VARIABLE
from inference_core.models.weights import load_state_dict


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


@pytest.fixture(scope="session")
def the_tumor_references() -> Path:
    """Of 3DSAM-adapter."""
    return Path(__file__).parents[2] / "Data" / "sam3d_adapter"


@pytest.fixture(scope="session")
def the_adapter_references() -> Path:
    """Of Medical SAM Adapter."""
    return Path(__file__).parents[2] / "Data" / "medical_sam_adapter"


@pytest.fixture(scope="session")
def the_adapter_io(the_adapter_references: Path) -> dict[str, np.ndarray]:
    """What went into and came out of the small Medical SAM Adapter."""
    with np.load(the_adapter_references / "small_io.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def the_adapted_sam_state(the_adapter_references: Path) -> dict[str, Tensor]:
    """The tensors of the SAM that the adapters adapt."""
    parts = [load_state_dict(the_adapter_references / f"{name}.safetensors") for name in ("common", "generation_a")]
    return {**parts[0], **parts[1]}


@pytest.fixture(scope="session")
def the_2023_state(the_adapted_sam_state: dict[str, Tensor], the_adapter_references: Path) -> dict[str, Tensor]:
    """The tensors of generation A: SAM's and the adapters."""
    return {**the_adapted_sam_state, **load_state_dict(the_adapter_references / "adapters_128.safetensors")}


@pytest.fixture(scope="session")
def the_generation_d_state(the_adapter_references: Path) -> dict[str, Tensor]:
    """The tensors of generation D; of its table of positions only what enters the network."""
    names = ("common", "adapters_128", "generation_d")
    common, adapters, own = (load_state_dict(the_adapter_references / f"{name}.safetensors") for name in names)
    own = {key: value for key, value in own.items() if not key.startswith("six_masks.")}
    positions = torch.zeros(1, 64, 64, 64)
    used = torch.cat([8 * n + torch.arange(2, 6) for n in range(8)])
    positions[:, used[:, None], used] = own["image_encoder.pos_embed"]
    return {**common, **adapters, **own, "image_encoder.pos_embed": positions}


@pytest.fixture
def a_server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture
def a_spec(a_server):
    return spec_at(f"http://127.0.0.1:{a_server.server_port}/weights.pth", sha256=hashlib.sha256(BODY).hexdigest())
