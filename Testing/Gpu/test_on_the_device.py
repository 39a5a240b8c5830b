"""What a graphics card answers is what the CPU answers, and what a user needs of it works there from end to end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_core.benchmark.timing import synthetic_ct
from inference_core.engine.automatic import segment_automatically
from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import DeviceError
from inference_core.evaluation.metrics import dice
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Model, PromptableModel, WindowImage, promptable
from inference_core.models.registry import DEFAULT_MODEL, build_model, get_spec
from inference_core.models.spec import Layout, PromptKind
from inference_core.models.store import require_installed
from inference_core.models.weights import load_state_dict
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.run import train

DATA = Path(__file__).resolve().parents[1] / "Data"


@dataclass(frozen=True)
class Files:
    """The small weights of a model that the reference values are of, and those of its base."""

    weights: Path
    base: Path | None = None


SAM, ADAPTERS = DATA / "sam" / "small.safetensors", DATA / "medical_sam_adapter" / "adapters_128.safetensors"
PROMPTED = {
    DEFAULT_MODEL: Files(require_installed(get_spec(DEFAULT_MODEL))),
    "sam_med3d": Files(DATA / "sam_med3d" / "small.safetensors"),
    "sam": Files(SAM),
    "medical_sam_adapter": Files(ADAPTERS, SAM),
    "medical_sam_adapter_3d": Files(ADAPTERS, SAM),
    "ma_sam_box": Files(DATA / "ma_sam" / "delta_bbox.safetensors", DATA / "ma_sam" / "base_small.safetensors"),
    "sam3d_adapter": Files(DATA / "sam3d_adapter" / "small.safetensors"),
}
AUTOMATIC = Files(DATA / "ma_sam" / "delta_auto.safetensors", DATA / "ma_sam" / "base_small.safetensors")


@pytest.fixture(scope="module", params=PROMPTED)
def opened(request):
    """Opens a small model of a family on a device, in a precision."""
    files = PROMPTED[request.param]
    return partial(build_model, request.param, weights=files.weights, base=files.base)


@pytest.fixture(scope="module")
def a_window(opened) -> WindowImage:
    """A bright ball, off the center, in a noisy left-handed window of the model's size."""
    spec = opened(device="cpu").spec
    shape, spacing = spec.window.shape, (spec.window.spacings or (1.5,))[0]
    if spec.window.layout is Layout.SLICES:
        shape = (90, 72, shape[2])
    distance = np.linalg.norm(np.indices(shape).T - np.array(shape) * (0.4, 0.5, 0.6), axis=-1).T
    values = np.random.default_rng(0).normal(100, 10, shape) + 80 * (distance < shape[0] / 8)
    return WindowImage(values.astype(np.float32), Grid(shape, np.diag([-spacing, spacing, spacing, 1.0])))


def answered(model: Model, window: WindowImage) -> np.ndarray:
    """The logits of a click on the ball, or of a box around it; then of a second prompt with these as the prior."""
    asked: PromptableModel = promptable(model)
    place = np.array(window.array.shape) * (0.4, 0.5, 0.6)
    embedding = asked.encode(window)
    corners = np.array([[[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]], dtype=float)
    boxes = place + (corners - 0.5) * window.array.shape[0] / 3
    if PromptKind.POSITIVE_CLICK not in model.spec.prompt_kinds:
        return asked.decode(embedding, WindowPrompts(np.zeros((0, 3)), np.zeros(0, int), boxes), None).low_res_logits
    one = WindowPrompts(np.array([place]), np.array([1]), np.zeros((0, 8, 3)))
    first = asked.decode(embedding, one, None).low_res_logits
    two = WindowPrompts(np.array([place, place + 3]), np.array([1, 1]), np.zeros((0, 8, 3)))
    return np.stack([first, asked.decode(embedding, two, first).low_res_logits])


def test_every_family_answers_as_on_the_cpu(opened, a_window, device):
    wanted = answered(opened(device="cpu", precision="float32"), a_window)
    found = answered(opened(device=device, precision="float32"), a_window)

    # A card's convolutions may be computed in TF32, which has ten bits.
    assert np.abs(found - wanted).max() < 0.05 * wanted.std()
    assert ((found > 0) == (wanted > 0)).mean() > 0.999


def test_every_family_answers_nearly_so_in_bfloat16(opened, a_window, device):
    wanted = answered(opened(device="cpu", precision="float32"), a_window)
    found = answered(opened(device=device, precision="bfloat16"), a_window)

    assert np.isfinite(found).all()
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.15 * wanted.std()


def test_an_automatic_model_labels_as_on_the_cpu(device):
    grid = Grid((64, 56, 7), np.diag([-1.0, 1.0, 2.0, 1.0]))
    values = np.random.default_rng(1).normal(40, 30, grid.shape)
    values[20:40, 20:40, 2:5] += 150
    volume = Volume(values.astype(np.float32), grid, "a block")
    build = partial(build_model, "ma_sam", weights=AUTOMATIC.weights, base=AUTOMATIC.base, precision="float32")

    wanted = segment_automatically(volume, build(device="cpu"), slices=(2, 4)).labels.array
    found = segment_automatically(volume, build(device=device), slices=(2, 4)).labels.array

    assert (found == wanted).mean() > 0.995


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_clicks_in_a_session_give_the_mask_that_they_give_on_the_cpu(device, precision):
    volume = synthetic_ct(60)
    clicks = (Click((2.0, -1.5, 1.0)), Click((0.0, 0.0, -26.0), positive=False), Click((0.0, 13.0, 0.0)))
    masks = []
    for place, digits in (("cpu", "float32"), (device, precision)):
        session = Session(volume, open_model(DEFAULT_MODEL, device=place, precision=digits))
        found = [session.predict(PromptSet(clicks[:count])).mask for count in (1, 2, 3)]
        masks.append([mask.on(volume.grid.shape) > 0 for mask in found])

    # The ball that was clicked is bright and sharp: each of the answers is near it.
    assert all(dice(one, other) > 0.97 for one, other in zip(*masks, strict=True))
    assert masks[1][2][tuple(volume.grid.nearest_voxels(np.array([[0.0, 0.0, 0.0]]))[0])]


def test_training_steps_move_the_weights_and_leave_files_for_a_computer_without_a_card(device, tmp_path):
    mixture = LiteMixture(sizes=(32,), batches=(2,), stage_shares=(1.0,))
    shipped = require_installed(get_spec(DEFAULT_MODEL))
    config = TrainConfig(
        tmp_path / "run", steps=2, start_from=shipped, device=device, lite=mixture, workers=0, ema=0.0,
        validation_samples=1, learning_rate=1e-2,
    )  # fmt: skip

    folder = train(config)

    losses = [line["loss"] for line in folder.lines() if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    before, after = load_state_dict(shipped), load_state_dict(folder.last)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(before[name], after[name].to(before[name])) for name in before)
    session = Session(synthetic_ct(30), open_model(DEFAULT_MODEL, device="cpu", weights=folder.path))
    session.predict(PromptSet((Click((2.0, -1.5, 1.0)),)))


def test_a_lack_of_the_cards_memory_is_told_in_one_sentence_and_passes(card):
    session = Session(synthetic_ct(60), open_model(DEFAULT_MODEL, device=card))
    prompts = PromptSet((Click((2.0, -1.5, 1.0)),))
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**20) / whole)
    try:
        with pytest.raises(DeviceError) as refused:
            session.predict(prompts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert str(refused.value).startswith("The memory ran out (cuda);")
    assert str(refused.value).count(".") == 1
    assert session.predict(prompts).mask.voxel_count > 0
