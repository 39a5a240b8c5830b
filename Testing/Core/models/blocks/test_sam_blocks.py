"""The parts of a 2D SAM against what the original classes gave for the same weights (Testing/Data/sam/README.md)."""

import numpy as np
import pytest
import torch

from inference_core.models.blocks.sam_image_encoder import resized_positions
from inference_core.models.blocks.sam_mask_decoder import upscaling
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_prompt_encoder import PromptEncoder
from inference_core.models.blocks.sam_sizes import SamSizes, read_sizes
from inference_core.models.blocks.two_way import ResidualTwoWayBlock, TwoWayBlock
from inference_core.models.weights import load_state_dict, load_strict

TOLERANCE = 5e-5
CASES = (
    "point_pos", "points_posneg", "box", "box_points", "mask_point", "mask_only", "batch_boxes", "no_prompt",
)  # fmt: skip


@pytest.fixture(scope="module")
def the_small_state(the_sam_references):
    return load_state_dict(the_sam_references / "small.safetensors")


@pytest.fixture(scope="module")
def a_network(the_small_state) -> SamNetwork:
    network = SamNetwork(read_sizes(the_small_state))
    load_strict(network, the_small_state, name="a.pth")
    return network.eval()


def test_the_sizes_are_read_off_the_shapes(the_small_state):
    assert read_sizes(the_small_state) == SamSizes(
        image_size=128, width=64, depth=4, heads=4, window=7, global_blocks=(1, 3), prompt_width=64,
        decoder_hidden=128, quality_hidden=48, upscaled=(16, 8),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "tensors", "parameters"),
    [
        (SamSizes(), 314, 93_735_472),
        (SamSizes(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)), 482, 312_342_832),
        (SamSizes(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)), 594, 641_090_608),
    ],
)
def test_the_official_sizes_have_the_official_tensors_and_parameters(sizes, tensors, parameters):
    with torch.device("meta"):
        network = SamNetwork(sizes)
    assert len(network.state_dict()) == tensors
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert read_sizes(network.state_dict()) == sizes


@torch.inference_mode()
def test_every_stage_of_the_encoder_is_the_original_networks(a_network, the_sam_io):
    stages = {}
    for name, module in a_network.image_encoder.named_modules():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: stages.__setitem__(name, output))
    tokens = torch.from_numpy(the_sam_io["enc/after_pos_embed"]) - a_network.image_encoder.pos_embed
    embedding = a_network.image_encoder.from_tokens(tokens)
    for index in range(4):
        wanted = the_sam_io[f"enc/blocks.{index}"]
        assert np.abs(stages[f"blocks.{index}"].numpy() - wanted).max() < TOLERANCE
    assert np.abs(embedding.numpy() - the_sam_io["enc/embedding"]).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_prompts_masks_and_ious_are_the_original_networks(a_network, the_sam_io, case):
    given = {key.split("/")[2]: value for key, value in the_sam_io.items() if key.startswith(f"case/{case}/")}
    tensor = {key: torch.from_numpy(value) for key, value in given.items()}
    points = (tensor["in_coords"], tensor["in_labels"]) if "in_coords" in tensor else None
    sparse, dense = a_network.prompt_encoder(points, tensor.get("in_boxes"), tensor.get("in_mask"))
    image, places = torch.from_numpy(the_sam_io["enc/embedding"]), a_network.prompt_encoder.dense_pe()
    masks, ious = a_network.mask_decoder(image, places, sparse=sparse, dense=dense)
    corner = given["dense"].shape[2:]
    assert sparse.shape == given["sparse"].shape
    np.testing.assert_allclose(sparse.numpy(), given["sparse"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(dense.numpy()[:1, :, : corner[0], : corner[1]], given["dense"], rtol=0, atol=TOLERANCE)
    assert np.abs(masks.numpy() - given["masks_all4"]).max() < TOLERANCE
    assert np.abs(ious.numpy() - given["iou_all4"]).max() < TOLERANCE


def test_the_dense_positional_encoding_is_the_original_networks(a_network, the_sam_io):
    assert np.abs(a_network.prompt_encoder.dense_pe().numpy() - the_sam_io["dense_pe"]).max() < 1e-6


@torch.inference_mode()
def test_a_point_labeled_as_none_is_the_padding_point(a_network):
    encoder: PromptEncoder = a_network.prompt_encoder
    sparse, _ = encoder((torch.tensor([[[3.0, 9.0], [40.0, 2.0]]]), torch.tensor([[1, -1]])))
    assert sparse.shape == (1, 3, 64)
    assert torch.equal(sparse[0, 1], sparse[0, 2])
    assert not torch.equal(sparse[0, 0], sparse[0, 1])


@torch.inference_mode()
def test_one_prompt_set_meets_all_images_and_as_many_of_both_are_paired(a_network, the_sam_io):
    first = torch.from_numpy(the_sam_io["enc/embedding"])
    images = torch.cat([first, first.flip(2), first.flip(3)])
    prompts = torch.tensor([[10.0, 10, 60, 70], [30, 5, 90, 99], [0, 0, 127, 127]])
    places = a_network.prompt_encoder.dense_pe()

    def decoded(some, boxes):
        sparse, dense = a_network.prompt_encoder(boxes=boxes)
        return a_network.mask_decoder(some, places, sparse=sparse, dense=dense)[0]

    shared, paired = decoded(images, prompts[:1]), decoded(images, prompts)
    for n in range(3):
        assert torch.allclose(shared[n], decoded(images[n : n + 1], prompts[:1])[0], atol=TOLERANCE)
        assert torch.allclose(paired[n], decoded(images[n : n + 1], prompts[n : n + 1])[0], atol=TOLERANCE)


@torch.inference_mode()
def test_the_residual_two_way_block_adds_the_encoding_for_good():
    torch.manual_seed(0)
    tokens, encoding = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    first = ResidualTwoWayBlock(16, heads=2, hidden=8, first=True)
    later = ResidualTwoWayBlock(16, heads=2, hidden=8, first=False)
    own = first.self_attn(tokens, tokens, tokens)
    assert torch.allclose(first.self_attended(tokens, encoding), tokens + own)
    moved = tokens + encoding
    assert torch.allclose(later.self_attended(tokens, encoding), moved + later.self_attn(moved, moved, moved))
    plain = TwoWayBlock(16, heads=2, hidden=8, first=True)
    plain.load_state_dict(first.state_dict())
    assert torch.allclose(plain.self_attended(tokens, encoding), own)


def test_upscaling_doubles_once_a_stage_under_the_official_indices():
    layers = upscaling((32, 16, 8, 4, 2))
    names = {name.split(".")[0] for name in layers.state_dict()}
    assert names == {"0", "1", "3", "4", "6", "7", "9"}
    assert layers(torch.zeros(1, 32, 3, 5)).shape == (1, 2, 48, 80)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_positions_are_resized_without_shifting_their_centers(mode):
    ramp = torch.linspace(0, 1, 12).expand(12, 12)[None, :, :, None]
    assert resized_positions(ramp, 12, mode=mode) is ramp
    smaller = resized_positions(ramp, 6, mode=mode)
    assert smaller.shape == (1, 6, 6, 1)
    assert torch.allclose(smaller[0, :, 1:5], ramp[0, :6].unflatten(1, (6, 2)).mean(dim=2)[:, 1:5], atol=1e-6)
