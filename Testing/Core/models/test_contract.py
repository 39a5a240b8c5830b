"""What every registered model that takes prompts promises, whatever its family; without weights it is skipped."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from inference_core.geometry.grid import Grid
from inference_core.models.interface import PromptableModel, WindowImage
from inference_core.models.registry import all_specs, build_model
from inference_core.models.spec import Layout, PromptKind
from inference_core.models.store import installed_path
from inference_core.prompts.encoding import WindowPrompts

NO_BOXES = np.zeros((0, 8, 3))
PROMPTED = [spec for spec in all_specs() if not spec.automatic]


@pytest.fixture(scope="module", params=PROMPTED, ids=lambda spec: spec.name)
def the_build(request, the_sam_med3d_references, the_sam_references, the_adapter_references):
    """Builds the model in a precision, from small weights of its family or from its installed ones."""
    stand_ins = {"sam_med3d": the_sam_med3d_references / "small.safetensors"}
    adapted = [spec.name for spec in all_specs() if spec.name.startswith("medical_sam_adapter")]
    stand_ins |= dict.fromkeys(adapted, the_adapter_references / "adapters_128.safetensors")
    stand_ins |= dict.fromkeys(("sam", "sam_vit_l", "sam_vit_h"), the_sam_references / "small.safetensors")
    tumors = [spec.name for spec in all_specs() if spec.name.startswith("sam3d_adapter")]
    stand_ins |= dict.fromkeys(tumors, the_sam_references.parent / "sam3d_adapter" / "small.safetensors")
    stand_ins["ma_sam_box"] = the_sam_references.parent / "ma_sam" / "delta_bbox.safetensors"
    weights = stand_ins.get(request.param.name) or installed_path(request.param)
    if weights is None:
        pytest.skip(f"the weights of {request.param.name} are not installed")
    bases = dict.fromkeys(adapted, the_sam_references / "small.safetensors")
    bases["ma_sam_box"] = the_sam_references.parent / "ma_sam" / "base_small.safetensors"
    base = bases.get(request.param.name)
    return partial(build_model, request.param.name, weights=weights, device="cpu", base=base)


@pytest.fixture(scope="module")
def a_model(the_build) -> PromptableModel:
    return the_build()


@pytest.fixture(scope="module")
def a_window(a_model):
    """A bright ball, off the center, in a noisy left-handed window."""
    shape, spacing = a_model.spec.window.shape, (a_model.spec.window.spacings or (1.5,))[0]
    if a_model.spec.window.layout is Layout.SLICES:
        shape = (90, 72, shape[2])
    affine = np.diag([-spacing, spacing, spacing, 1.0])
    distance = np.linalg.norm(np.indices(shape).T - np.array(shape) * (0.4, 0.5, 0.6), axis=-1).T
    noise = np.random.default_rng(0).normal(100, 10, shape)
    return WindowImage((noise + 80 * (distance < shape[0] / 8)).astype(np.float32), Grid(shape, affine))


@pytest.fixture(scope="module")
def an_embedding(a_model, a_window):
    return a_model.encode(a_window)


@pytest.fixture
def a_place(a_window):
    return np.array(a_window.array.shape) * (0.4, 0.5, 0.6)


@pytest.fixture
def a_prompt(a_model, a_place):
    """A click, or a box where the model takes nothing else."""
    if PromptKind.POSITIVE_CLICK in a_model.spec.prompt_kinds:
        return WindowPrompts(np.array([a_place]), np.array([1]), NO_BOXES)
    return boxed(a_place)


def test_a_model_knows_its_spec_and_device(a_model):
    assert a_model.spec.name in {spec.name for spec in all_specs()}
    assert a_model.device == "cpu"


def test_an_embedding_keeps_its_window_and_tells_its_size(an_embedding, a_window):
    assert an_embedding.grid == a_window.grid
    assert an_embedding.nbytes == sum(t.numel() * t.element_size() for t in an_embedding.tensors.values()) > 0
    assert all(torch.isfinite(tensor).all() for tensor in an_embedding.tensors.values())


def test_a_prompt_gives_finite_logits_over_the_whole_window(a_model, an_embedding, a_prompt):
    decoded = a_model.decode(an_embedding, a_prompt, None)
    assert decoded.low_res_logits.dtype == np.float32
    assert np.isfinite(decoded.low_res_logits).all()
    if a_model.spec.window.layout is Layout.SLICES:
        on_voxels = a_model.to_voxels(decoded.low_res_logits, an_embedding.grid.shape)
        assert on_voxels.shape == an_embedding.grid.shape
        assert on_voxels.dtype == np.float32
    else:
        ratios = {n / m for n, m in zip(an_embedding.grid.shape, decoded.low_res_logits.shape, strict=True)}
        assert len(ratios) == 1
    assert decoded.quality is None or 0 <= decoded.quality <= 1


def test_decoding_twice_gives_the_same_and_leaves_its_inputs_alone(a_model, an_embedding, a_prompt):
    before = {name: tensor.clone() for name, tensor in an_embedding.tensors.items()}
    first = a_model.decode(an_embedding, a_prompt, None)
    prior = first.low_res_logits.copy()
    a_model.decode(an_embedding, a_prompt, first.low_res_logits)
    assert np.array_equal(first.low_res_logits, prior)
    assert np.array_equal(a_model.decode(an_embedding, a_prompt, None).low_res_logits, prior)
    assert all(torch.equal(tensor, before[name]) for name, tensor in an_embedding.tensors.items())


def test_encoding_leaves_the_window_alone(a_model, a_window):
    before = a_window.array.copy()
    a_model.encode(a_window)
    assert np.array_equal(a_window.array, before)


def test_every_prompt_moves_the_logits(a_model, an_embedding, a_prompt):
    first = a_model.decode(an_embedding, a_prompt, None).low_res_logits
    moved = replace(a_prompt, points=a_prompt.points + 5, boxes=a_prompt.boxes + 5)
    more = WindowPrompts(
        np.vstack([a_prompt.points, [[6.0, 7.0, min(8.0, an_embedding.grid.shape[2] // 2)]]]),
        np.array([1, 0]),
        NO_BOXES,
    )
    changed = {"place": a_model.decode(an_embedding, moved, None).low_res_logits}
    if PromptKind.MASK in a_model.spec.prompt_kinds:
        changed["prior"] = a_model.decode(an_embedding, a_prompt, first).low_res_logits
    if PromptKind.NEGATIVE_CLICK in a_model.spec.prompt_kinds:
        changed["negative click"] = a_model.decode(an_embedding, more, None).low_res_logits
        changed["its sign"] = a_model.decode(an_embedding, replace(more, labels=np.array([1, 1])), None).low_res_logits
        assert not np.array_equal(changed["negative click"], changed["its sign"])
    assert [name for name, logits in changed.items() if np.array_equal(logits, first)] == []


def test_a_mask_alone_can_be_refined(a_model, an_embedding, a_prompt):
    if PromptKind.MASK not in a_model.spec.prompt_kinds:
        pytest.skip("the model takes no mask")
    prior = a_model.decode(an_embedding, a_prompt, None).low_res_logits
    none = WindowPrompts(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), NO_BOXES)
    assert np.isfinite(a_model.decode(an_embedding, none, prior).low_res_logits).all()


def test_a_mask_on_the_voxels_can_be_started_from(a_model, an_embedding, a_prompt):
    if PromptKind.MASK not in a_model.spec.prompt_kinds or a_model.spec.window.layout is not Layout.SLICES:
        pytest.skip("the model takes no mask, or takes it in its window")
    decoded = a_model.decode(an_embedding, a_prompt, None).low_res_logits
    low_res = a_model.to_low_res(np.full(an_embedding.grid.shape, 3.0, dtype=np.float32))
    assert (low_res.shape, low_res.dtype) == (decoded.shape, np.float32)
    assert np.allclose(a_model.to_voxels(low_res, an_embedding.grid.shape), 3.0, atol=1e-4)


def test_a_box_alone_gives_logits(a_model, an_embedding, a_place):
    assert np.isfinite(a_model.decode(an_embedding, boxed(a_place), None).low_res_logits).all()


def boxed(center) -> WindowPrompts:
    """A box of 16 voxels a side, and no click."""
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)])
    return WindowPrompts(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), (center - 8 + 16 * corners)[None])


def test_half_the_digits_change_the_answer_a_little(a_model, the_build, a_window, an_embedding, a_prompt):
    exact = a_model.decode(an_embedding, a_prompt, None).low_res_logits
    rough_model = the_build(precision="bfloat16")
    rough = rough_model.decode(rough_model.encode(a_window), a_prompt, None).low_res_logits
    assert (rough.dtype, rough.shape) == (np.float32, exact.shape)
    assert np.abs(rough - exact).mean() < 0.2 * exact.std()
