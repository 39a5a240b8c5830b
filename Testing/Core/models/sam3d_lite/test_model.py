"""SAM3D lite with a network of toy size and random weights, and the bundled weights where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.scenes import oblique_grid, turn

from inference_core.engine.session import Session
from inference_core.errors import CheckpointError
from inference_core.evaluation.metrics import dice
from inference_core.geometry.grid import isotropic_grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import WindowImage
from inference_core.models.registry import get_spec
from inference_core.models.sam3d_lite.model import LiteModel, build, normalize
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.prompt_maps import DensePrompts
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.checkpoint import save_weights

TINY = LiteConfig(fine=8, middle=16, coarse=32, depth=2, heads=4, match=8, detail=8)
SHAPE = (16, 24, 32)
NO_BOXES = np.zeros((0, 8, 3))
CORNERS = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)], dtype=np.float64)
BUNDLED = Path(__file__).parents[4] / "Resources" / "Models" / "sam3d_lite.safetensors"
MOST_BYTES = 10_000_000


def tiny_network(seed: int = 0) -> LiteNetwork:
    torch.manual_seed(seed)
    return LiteNetwork(TINY)


def window_of(array: np.ndarray, spacing: float = 1.5) -> WindowImage:
    axes = turn((12, -7, 25)) @ np.diag([1.0, -1.0, 1.0])
    grid = isotropic_grid([31.0, -47.0, 113.0], shape=array.shape, spacing=spacing, axes=axes)
    return WindowImage(array.astype(np.float32), grid)


def clicks(*placed: tuple[tuple[float, ...], int], boxes: np.ndarray = NO_BOXES) -> WindowPrompts:
    points = np.array([point for point, _ in placed], dtype=np.float64).reshape(-1, 3)
    return WindowPrompts(points, np.array([label for _, label in placed], dtype=np.int64), boxes)


@pytest.fixture(scope="module")
def a_model() -> LiteModel:
    return LiteModel(get_spec("sam3d_lite"), tiny_network(), "cpu")


@pytest.fixture(scope="module")
def a_window() -> WindowImage:
    """An off-center ball in noise, on a CT's scale."""
    distance = np.linalg.norm(np.indices(SHAPE).T - np.array([7.0, 10.0, 18.0]), axis=-1).T
    noise = np.random.default_rng(0).normal(40, 12, SHAPE)
    return window_of(noise + 60 * (distance < 5))


@pytest.fixture(scope="module")
def an_embedding(a_model, a_window):
    return a_model.encode(a_window)


A_CLICK = clicks(((7.0, 10.0, 18.0), 1))
A_BOX = (np.array([2.0, 5.0, 13.0]) + 10 * CORNERS)[None]


def test_the_published_size_has_2_6_million_parameters():
    parameters = sum(parameter.numel() for parameter in LiteNetwork(LiteConfig()).parameters())
    assert 2_500_000 < parameters < 2_700_000


def test_features_are_at_a_half_and_a_quarter_of_the_window(an_embedding):
    shapes = {name: tuple(tensor.shape) for name, tensor in an_embedding.tensors.items()}
    assert shapes == {
        "image": (1, 2, 16, 24, 32),
        "fine": (1, 8, 8, 12, 16),
        "middle": (1, 16, 4, 6, 8),
        "fine_key": (1, 4, 8, 12, 16),
        "middle_key": (1, 8, 4, 6, 8),
    }


def test_match_keys_are_unit_vectors(an_embedding):
    for name in ("fine_key", "middle_key"):
        norms = an_embedding.tensors[name].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("shape", [SHAPE, (16, 16, 16), (32, 32, 32), (40, 16, 24)])
def test_logits_have_the_windows_own_shape(a_model, shape):
    embedding = a_model.encode(window_of(np.random.default_rng(1).normal(0, 1, shape)))
    decoded = a_model.decode(embedding, clicks(((3, 4, 5), 1)), None)
    assert decoded.low_res_logits.shape == shape
    assert decoded.low_res_logits.dtype == np.float32


@pytest.mark.parametrize(
    "prompts",
    [
        A_CLICK,
        clicks(((7, 10, 18), 1), ((1, 2, 3), 0)),
        clicks(boxes=A_BOX),
        clicks(((1, 2, 3), 0), boxes=A_BOX),
        clicks(((1, 2, 3), 0)),
        clicks(),
        clicks(((7, 10, 18), 1), boxes=np.concatenate([A_BOX, A_BOX + 2])),
        clicks(((-0.5, 23.5, 31.5), 1)),
    ],
    ids=["click", "two signs", "box", "box and background", "background", "nothing", "two boxes", "click on a corner"],
)
@pytest.mark.parametrize("refined", [False, True])
def test_any_set_of_prompts_gives_finite_logits_and_a_quality_between_0_and_1(a_model, an_embedding, prompts, refined):
    prior = a_model.decode(an_embedding, A_CLICK, None).low_res_logits if refined else None
    decoded = a_model.decode(an_embedding, prompts, prior)
    assert np.isfinite(decoded.low_res_logits).all()
    assert 0 <= decoded.quality <= 1


def test_the_same_window_and_prompts_give_the_same_bits(a_model, a_window):
    answers = [a_model.decode(a_model.encode(a_window), A_CLICK, None) for _ in range(2)]
    np.testing.assert_array_equal(answers[0].low_res_logits, answers[1].low_res_logits)
    assert answers[0].quality == answers[1].quality


@pytest.mark.parametrize(
    "other",
    [
        clicks(((9.0, 10.0, 18.0), 1)),
        clicks(((7.0, 10.0, 18.0), 0)),
        clicks(((7.0, 10.0, 18.0), 1), ((14, 20, 3), 0)),
        clicks(((7.0, 10.0, 18.0), 1), boxes=A_BOX),
    ],
    ids=["moved", "flipped", "added", "boxed"],
)
def test_every_change_of_the_prompts_changes_the_logits(a_model, an_embedding, other):
    before = a_model.decode(an_embedding, A_CLICK, None).low_res_logits
    assert np.abs(a_model.decode(an_embedding, other, None).low_res_logits - before).max() > 1e-4


def test_the_order_of_the_clicks_does_not_matter(a_model, an_embedding):
    # Off the voxel lattice no cell is equally near to two clicks.
    placed = [((7, 10, 18), 1), ((1, 2, 3), 0), ((8.31, 11.17, 16.23), 1), ((14.12, 20.19, 3.37), 0)]
    forth, back = (a_model.decode(an_embedding, clicks(*order), None) for order in (placed, placed[::-1]))
    np.testing.assert_allclose(forth.low_res_logits, back.low_res_logits, atol=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, -1024.0), (0.001, 0.0), (37.0, 5000.0)])
def test_the_unit_of_the_intensities_does_not_matter(a_model, a_window, an_embedding, scale, shift):
    """MR and PET have no fixed scale; a CT may be stored in HU or shifted by 1024."""
    rescaled = replace(a_window, array=(a_window.array * scale + shift).astype(np.float32))
    decoded = a_model.decode(a_model.encode(rescaled), A_CLICK, None)
    expected = a_model.decode(an_embedding, A_CLICK, None)
    np.testing.assert_allclose(decoded.low_res_logits, expected.low_res_logits, atol=2e-3)


def test_the_same_voxels_give_the_same_answer_wherever_the_window_lies(a_model, a_window, an_embedding):
    elsewhere = WindowImage(a_window.array, oblique_grid(29, 0).cropped((0, 0, 0), SHAPE))
    decoded = a_model.decode(a_model.encode(elsewhere), A_CLICK, None)
    np.testing.assert_array_equal(decoded.low_res_logits, a_model.decode(an_embedding, A_CLICK, None).low_res_logits)


@pytest.mark.parametrize("layout", ["F", "reversed"])
def test_a_window_of_any_memory_layout_is_taken(a_model, a_window, an_embedding, layout):
    array = np.asfortranarray(a_window.array)
    if layout == "reversed":
        array = a_window.array[::-1].copy()[::-1]
    image = a_model.encode(replace(a_window, array=array)).tensors["image"]
    torch.testing.assert_close(image, an_embedding.tensors["image"])


def test_inference_gives_what_training_would(a_window):
    """Folded kernels and the fast convolution path change nothing but the time."""
    network = tiny_network(seed=4)
    image = normalize(torch.from_numpy(a_window.array)[None])
    dense = DensePrompts.from_window(A_CLICK, None, shape=SHAPE, device="cpu")
    logits, quality = network(image, dense)
    model = LiteModel(get_spec("sam3d_lite"), network, "cpu")
    decoded = model.decode(model.encode(a_window), A_CLICK, None)
    np.testing.assert_allclose(decoded.low_res_logits, logits[0, 0].detach(), atol=1e-4)
    assert decoded.quality == pytest.approx(float(torch.sigmoid(quality.detach())[0]), abs=1e-5)


def test_every_parameter_learns(a_window):
    network = tiny_network()
    image = normalize(torch.from_numpy(a_window.array)[None])
    dense = DensePrompts.from_window(clicks(((7, 10, 18), 1), ((1, 2, 3), 0)), None, shape=SHAPE, device="cpu")
    logits, quality = network(image, dense)
    (logits.square().mean() + quality.sum()).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def percentiles_by_hand(array: np.ndarray) -> np.ndarray:
    low, high = np.quantile(array.reshape(-1)[::7], [0.005, 0.995])
    return np.clip(array, low, high)


def test_normalization_is_a_robust_z_score_of_the_window_and_of_its_inner_third():
    window = np.random.default_rng(3).gamma(2.0, 50.0, (18, 24, 30))
    clipped = percentiles_by_hand(window)
    inner = clipped[6:12, 8:16, 10:20]
    std = clipped.std(ddof=1)
    broad = (clipped - clipped.mean()) / std
    local = (clipped - inner.mean()) / (inner.std(ddof=1) + 0.02 * std)
    image = normalize(torch.from_numpy(window)[None]).numpy()
    assert image.shape == (1, 2, 18, 24, 30)
    np.testing.assert_allclose(image[0, 0], broad.clip(-5, 5), atol=1e-4)
    np.testing.assert_allclose(image[0, 1], local.clip(-3, 3), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(1e-2, 1e3), shift=st.floats(-1e3, 1e3))
def test_normalization_forgets_scale_and_offset(scale, shift):
    window = torch.from_numpy(np.random.default_rng(3).gamma(2.0, 5.0, (1, 16, 16, 16)))
    torch.testing.assert_close(normalize(window * scale + shift), normalize(window), rtol=1e-3, atol=1e-3)


def test_normalization_of_a_batch_is_that_of_each_window():
    windows = torch.randn(3, 16, 16, 16) * torch.tensor([1.0, 100.0, 0.1])[:, None, None, None]
    torch.testing.assert_close(normalize(windows)[1:2], normalize(windows[1:2]))


def test_a_metal_voxel_does_not_flatten_the_rest():
    window = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    spoilt = window.clone()
    spoilt[0, 3, 3, 3] = 1e6
    clear = torch.ones_like(window, dtype=torch.bool)
    clear[0, 3, 3, 3] = False
    assert (normalize(spoilt) - normalize(window))[:, 0][clear].abs().max() < 0.1


def test_a_uniform_window_is_normalized_to_zero():
    image = normalize(torch.full((1, 16, 16, 16), -1024.0))
    assert torch.isfinite(image).all()
    assert image.abs().max() < 1e-3


@pytest.fixture
def a_weights_file(tmp_path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, tiny_network(seed=7).state_dict())
    return path


def test_a_model_is_built_from_its_weights_file(a_weights_file, a_window):
    built = build(get_spec("sam3d_lite"), a_weights_file, "cpu", config=TINY)
    network = tiny_network(seed=1)
    network.load_state_dict({name: value.half().float() for name, value in tiny_network(seed=7).state_dict().items()})
    direct = LiteModel(get_spec("sam3d_lite"), network, "cpu")
    answers = [model.decode(model.encode(a_window), A_CLICK, None).low_res_logits for model in (built, direct)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert built.spec is get_spec("sam3d_lite")
    assert built.device == "cpu"
    assert {parameter.dtype for parameter in built.network.parameters()} == {torch.float32}


def test_weights_of_another_size_are_refused(a_weights_file):
    with pytest.raises(CheckpointError, match="of another size"):
        build(get_spec("sam3d_lite"), a_weights_file, "cpu", config=replace(TINY, fine=16))


@pytest.fixture(scope="module")
def the_bundled_weights() -> Path:
    if not BUNDLED.is_file():
        pytest.skip("the bundled weights are not in Resources/Models")
    return BUNDLED


@pytest.fixture(scope="module")
def the_bundled_model(the_bundled_weights) -> LiteModel:
    return build(get_spec("sam3d_lite"), the_bundled_weights, "cpu")


def test_the_bundled_weights_are_small_finite_and_in_half_precision(the_bundled_weights):
    weights = load_file(the_bundled_weights)
    assert the_bundled_weights.stat().st_size < MOST_BYTES
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert all(torch.isfinite(value).all() for value in weights.values())


def ball_window(radius: float, contrast: float) -> tuple[WindowImage, np.ndarray, np.ndarray]:
    """A ball in a window of soft tissue with noise a quarter as strong as its contrast: image, truth, center."""
    shape, center = (64, 64, 64), np.array([30.0, 34.0, 29.0])
    distance = np.linalg.norm(np.indices(shape).T - center, axis=-1).T
    truth = distance < radius
    noise = np.random.default_rng(1).normal(0, 10, shape)
    return window_of(40 + contrast * truth + noise, spacing=1.2), truth, center


@pytest.mark.parametrize("radius_mm", [9, 22, 45])
@pytest.mark.parametrize("contrast", [40, -40])
def test_the_bundled_model_finds_a_ball_from_one_click(the_bundled_model, radius_mm, contrast):
    grid, center = window_of(np.zeros((110, 110, 110)), spacing=1.2).grid, np.array([52.0, 57, 54])
    truth = radius_mm > 1.2 * np.linalg.norm(np.indices(grid.shape).T - center, axis=-1).T
    noise = np.random.default_rng(1).normal(0, 10, grid.shape)
    session = Session(Volume((40 + contrast * truth + noise).astype(np.float32), grid), the_bundled_model)
    answer = session.predict(PromptSet((Click(tuple(grid.to_ras(center))),)))
    assert dice(answer.mask.on(grid.shape).view(bool), truth) > 0.9
    assert not answer.cautions


def test_the_bundled_model_obeys_the_sign_of_a_click(the_bundled_model):
    window, _, center = ball_window(12, 40)
    embedding = the_bundled_model.encode(window)
    place = (30, 34, 36)
    answers = [
        the_bundled_model.decode(embedding, clicks((tuple(center), 1), (place, label)), None).low_res_logits[place]
        for label in (1, 0)
    ]
    assert answers[0] > 0
    assert answers[1] < answers[0] - 1


@pytest.mark.parametrize("factor", [2.0**-100, 2.0**-30, 2.0**30, 2.0**60])
def test_the_image_that_the_network_sees_does_not_depend_on_the_unit(factor):
    window = torch.randn(1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(normalize(window * factor), normalize(window))


def test_a_window_of_one_value_becomes_zeros():
    assert not normalize(torch.full((1, 24, 24, 24), 0.1)).any()
