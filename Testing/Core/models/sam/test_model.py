"""SAM on slices against what the original predictor gave for the same weights (Testing/Data/sam/README.md)."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

from inference_core.errors import CheckpointError, ModelError, PromptError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import Embedding, WindowImage
from inference_core.models.registry import get_spec
from inference_core.models.sam.model import Sam, build, refuse_other_size
from inference_core.models.spec import Layout
from inference_core.models.weights import load_state_dict
from inference_core.prompts.encoding import WindowPrompts

TOLERANCE = 5e-5
PICTURE = (75, 100)
NO_BOXES = np.zeros((0, 8, 3))
NO_CLICKS = (np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


@pytest.fixture(scope="module")
def a_small_sam(the_sam_references) -> Sam:
    return build(get_spec("sam"), the_sam_references / "small.safetensors", "cpu")


@pytest.fixture(scope="module")
def the_small_state(the_sam_references):
    return load_state_dict(the_sam_references / "small.safetensors")


@pytest.fixture(scope="module")
def a_left_handed_slice() -> Grid:
    return Grid((PICTURE[1], PICTURE[0], 1), np.diag([-0.8, 0.7, 5.0, 1.0]))


@pytest.fixture(scope="module")
def the_embedding(the_sam_io, a_left_handed_slice) -> Embedding:
    return Embedding({"image_embedding": torch.from_numpy(the_sam_io["enc/embedding"])}, a_left_handed_slice)


def box_around(rectangle, *, depth=(-3.0, 4.0)) -> np.ndarray:
    """The corners (8, 3) of a box in window indices whose cut through the slice is x0, y0, x1, y1."""
    ends = np.array([[*rectangle[:2], depth[0]], [*rectangle[2:], depth[1]]])
    return np.array([[ends[n >> axis & 1, axis] for axis in range(3)] for n in range(8)])


def prompts_of(case, the_sam_io) -> tuple[WindowPrompts, np.ndarray | None]:
    """A golden case's prompts in the picture's pixels, and its mask prompt."""
    given = {key.split("/")[2]: value for key, value in the_sam_io.items() if key.startswith(f"case/{case}/")}
    points = np.pad(given.get("orig_points", np.zeros((0, 2))), ((0, 0), (0, 1)))
    labels = given.get("in_labels", np.zeros((1, 0)))[0].astype(np.int64)
    boxes = np.array([box_around(box) for box in np.reshape(given.get("orig_box", ()), (-1, 4))]).reshape(-1, 8, 3)
    mask = given.get("in_mask")
    return WindowPrompts(points, labels, boxes), None if mask is None else mask[0, 0].T[..., None]


def test_a_picture_becomes_the_original_networks_input_and_embedding(a_small_sam, the_sam_io):
    image = a_small_sam.picture(the_sam_io["enc/image_u8"])
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    wanted = (the_sam_io["enc/resized_u8"] - mean) / deviation
    assert np.abs(image[0, :, :96].permute(1, 2, 0).numpy() - wanted).max() < 1e-6
    assert not image[0, :, 96:].any()
    with torch.inference_mode():
        embedding = a_small_sam.network.image_encoder(image)
    assert np.abs(embedding.numpy() - the_sam_io["enc/embedding"]).max() < TOLERANCE


@pytest.mark.parametrize("case", ["point_pos", "points_posneg", "box", "box_points", "mask_point", "mask_only"])
def test_logits_masks_and_quality_are_the_original_predictors(a_small_sam, the_embedding, the_sam_io, case):
    """A single click takes the best of three answers, as the originals' demo does; all else the single answer."""
    prompts, prior = prompts_of(case, the_sam_io)
    decoded = a_small_sam.decode(the_embedding, prompts, prior)
    logits, ious = the_sam_io[f"case/{case}/masks_all4"][0], the_sam_io[f"case/{case}/iou_all4"][0]
    chosen = 1 + ious[1:].argmax() if case == "point_pos" else 0
    binary = the_sam_io[f"case/{case}/binary_mm{int(chosen > 0)}"][0, max(0, chosen - 1)]
    assert np.abs(decoded.low_res_logits[..., 0].T - logits[chosen]).max() < TOLERANCE
    assert decoded.quality == pytest.approx(np.clip(ious[chosen], 0, 1), abs=TOLERANCE)
    found = a_small_sam.to_voxels(decoded.low_res_logits, the_embedding.grid.shape)
    assert found.shape == (*PICTURE[::-1], 1)
    assert np.array_equal(np.packbits(found[..., 0].T > 0, axis=-1), binary)


def test_logits_on_the_voxels_are_the_original_predictors(a_small_sam, the_sam_io):
    low_res = the_sam_io["case/box/masks_all4"][0, 0].T[..., None]
    found = a_small_sam.to_voxels(low_res, (*PICTURE[::-1], 1))
    assert np.abs(found[..., 0].T - the_sam_io["case/box/logits_full_mm0"][0, 0]).max() < TOLERANCE


def test_several_boxes_are_decoded_each_with_its_clicks_and_united(a_small_sam, the_embedding):
    boxes = np.array([box_around((5, 8, 40, 60)), box_around((50, 20, 95, 70))])
    points, labels = np.array([[10.0, 10, 0], [70, 40, 0], [45, 75, 0]]), np.array([1, 0, 1])
    both = a_small_sam.decode(the_embedding, WindowPrompts(points, labels, boxes), None)
    left = a_small_sam.decode(the_embedding, WindowPrompts(points[:1], labels[:1], boxes[:1]), None)
    right = a_small_sam.decode(the_embedding, WindowPrompts(points[1:2], labels[1:2], boxes[1:]), None)
    below = a_small_sam.decode(the_embedding, WindowPrompts(points[[0, 2]], labels[[0, 2]], boxes[:1]), None)
    # The third click is nearer to the right box's lower edge than to the left one's.
    assert not np.allclose(below.low_res_logits, left.low_res_logits)
    right = a_small_sam.decode(the_embedding, WindowPrompts(points[1:], labels[1:], boxes[1:]), None)
    assert np.allclose(both.low_res_logits, np.maximum(left.low_res_logits, right.low_res_logits), atol=1e-6)


def test_a_box_larger_than_the_slice_ends_with_it(a_small_sam, the_embedding):
    whole = np.array([box_around((-0.5, -0.5, 99.5, 74.5))])
    larger = np.array([box_around((-300.0, -40, 500, 90))])
    first, second = (a_small_sam.decode(the_embedding, WindowPrompts(*NO_CLICKS, box), None) for box in (whole, larger))
    assert np.array_equal(first.low_res_logits, second.low_res_logits)


def test_columns_run_along_the_first_axis_and_rows_along_the_second(a_small_sam, a_left_handed_slice):
    """A model that showed its slices otherwise would give the same embedding for both of these."""
    array = np.zeros(a_left_handed_slice.shape, np.float32)
    array[:60] = 100
    shown = np.zeros((*PICTURE, 3), np.uint8)
    shown[:, :60] = 255
    found = a_small_sam.encode(WindowImage(array, a_left_handed_slice)).tensors["image_embedding"]
    with torch.inference_mode():
        wanted = a_small_sam.network.image_encoder(a_small_sam.picture(shown))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_mask_turned_into_low_res_logits_and_back_is_nearly_itself(a_small_sam):
    i, j = np.ogrid[:100, :75]
    inside = ((i - 60) ** 2 + (j - 30) ** 2 < 20**2)[..., None]
    low_res = a_small_sam.to_low_res(np.where(inside, 4.0, -4.0).astype(np.float32))
    assert low_res.shape == (32, 32, 1)
    again = a_small_sam.to_voxels(low_res, (100, 75, 1)) > 0
    assert 2 * (again & inside).sum() / (again.sum() + inside.sum()) > 0.95


def test_a_slice_without_any_prompt_is_refused(a_small_sam, the_embedding):
    with pytest.raises(PromptError, match="place a foreground click"):
        a_small_sam.decode(the_embedding, WindowPrompts(*NO_CLICKS, NO_BOXES), None)


def test_more_than_one_slice_at_a_time_is_refused(a_small_sam):
    with pytest.raises(ModelError, match="one slice at a time"):
        a_small_sam.encode(WindowImage(np.zeros((9, 8, 2), np.float32), Grid((9, 8, 2), np.eye(4))))


def test_voxels_that_are_not_numbers_are_refused(a_small_sam, a_left_handed_slice):
    array = np.full(a_left_handed_slice.shape, np.nan, np.float32)
    with pytest.raises(VolumeError, match="NaN"):
        a_small_sam.encode(WindowImage(array, a_left_handed_slice))


def test_the_spec_of_a_smaller_network_tells_its_window(a_small_sam):
    assert a_small_sam.spec.window.shape == (128, 128, 1)
    assert a_small_sam.spec.window.layout is Layout.SLICES


def test_an_official_pytorch_file_gives_the_same_as_safetensors(a_small_sam, the_small_state, the_embedding, tmp_path):
    torch.save(the_small_state, tmp_path / "sam.pth")
    model = build(get_spec("sam"), tmp_path / "sam.pth", "cpu")
    prompts = WindowPrompts(np.array([[20.0, 30, 0]]), np.array([1]), NO_BOXES)
    first, second = (some.decode(the_embedding, prompts, None).low_res_logits for some in (model, a_small_sam))
    assert np.array_equal(first, second)


def test_a_truncated_file_is_refused(the_small_state, tmp_path):
    path = tmp_path / "sam.pth"
    torch.save(the_small_state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"'sam\.pth' is cut off; download it again"):
        build(get_spec("sam"), path, "cpu")


class Bomb:
    def __reduce__(self):
        return print, ("this must never be run",)


def test_a_file_that_carries_code_is_refused_and_the_code_not_run(the_small_state, tmp_path, capsys):
    path = tmp_path / "sam.pth"
    torch.save({**the_small_state, "extra": Bomb()}, path)
    assert b"print" in zipfile.ZipFile(path).read("sam/data.pkl")
    with pytest.raises(CheckpointError, match="carries code"):
        build(get_spec("sam"), path, "cpu")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(CheckpointError):
        build(get_spec("sam"), tmp_path / "bare.pth", "cpu")
    assert capsys.readouterr().out == ""


def test_a_file_of_another_family_is_refused_by_naming_both_sides(tmp_path):
    torch.save({"encoder.conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"lacks 'image_encoder.pos_embed'.* has 'encoder.conv.weight'"):
        build(get_spec("sam"), tmp_path / "other.pth", "cpu")


def test_a_3d_sam_is_refused(the_sam_med3d_references):
    with pytest.raises(CheckpointError, match=r"is of another model: .*'image_encoder.blocks.0.attn.rel_pos_d'"):
        build(get_spec("sam"), the_sam_med3d_references / "small.safetensors", "cpu")


def test_an_adapted_sam_is_refused_for_what_it_has_more(the_small_state, tmp_path):
    adapter = {"image_encoder.blocks.0.MLP_Adapter.D_fc1.weight": torch.zeros(16, 64)}
    torch.save({**the_small_state, **adapter}, tmp_path / "adapted.pth")
    with pytest.raises(CheckpointError, match=r"has 'image_encoder.blocks.0.MLP_Adapter.D_fc1.weight' that is unknown"):
        build(get_spec("sam"), tmp_path / "adapted.pth", "cpu")


@pytest.mark.parametrize("name", ["sam", "sam_vit_h"])
def test_another_official_size_is_refused_by_naming_its_model(name):
    large = SamSizes(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23))
    with pytest.raises(CheckpointError, match=r"'sam_vit_l_0b3195\.pth' belongs to the model 'sam_vit_l'"):
        refuse_other_size(large, get_spec(name), name="sam_vit_l_0b3195.pth")
    refuse_other_size(large, get_spec("sam_vit_l"), name="sam_vit_l_0b3195.pth")


def test_a_checkpoint_with_one_wrong_shape_is_refused(the_small_state, tmp_path):
    torch.save({**the_small_state, "mask_decoder.iou_token.weight": torch.zeros(1, 63)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"'mask_decoder.iou_token.weight' is \(1, 63\) instead of \(1, 64\)"):
        build(get_spec("sam"), tmp_path / "odd.pth", "cpu")
