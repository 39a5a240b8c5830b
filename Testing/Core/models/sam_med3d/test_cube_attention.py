"""The attention that skips the padding against one that attends to each padding token, with padding and without."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inference_core.benchmark.reference_sam_med3d import PlainCubeAttention, plain_encoder, random_encoder
from inference_core.models.sam_med3d.cube_attention import CubeAttention
from inference_core.models.sam_med3d.network import SamMed3DConfig

GRIDS = [
    pytest.param((4, 4, 4), 14, id="one window, padded on all axes"),
    pytest.param((6, 6, 6), 4, id="two windows an axis, the last padded"),
    pytest.param((4, 4, 4), 4, id="no padding"),
    pytest.param((8, 4, 4), 4, id="two windows without padding"),
    pytest.param((4, 4, 3), 4, id="padded on the last axis only"),
    pytest.param((4, 3, 4), 4, id="padded on the middle axis only"),
    pytest.param((3, 4, 4), 4, id="padded on the first axis only"),
    pytest.param((2, 5, 7), 4, id="unequal axes"),
]


@pytest.fixture
def a_pair_of_forms():
    def make(side):
        torch.manual_seed(side)
        fast, plain = (form(24, heads=3, side=side) for form in (CubeAttention, PlainCubeAttention))
        for parameter in fast.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        plain.load_state_dict(fast.state_dict())
        return fast, plain

    return make


@pytest.mark.parametrize(("shape", "side"), GRIDS)
def test_both_forms_agree(a_pair_of_forms, shape, side):
    fast, plain = a_pair_of_forms(side)
    x = torch.randn(2, *shape, 24).double()
    with torch.inference_mode():
        assert (fast.double()(x) - plain.double()(x)).abs().max() < 1e-10


@pytest.mark.parametrize(("shape", "side"), GRIDS)
def test_both_forms_have_the_same_gradients(a_pair_of_forms, shape, side):
    x, weight = torch.randn(1, *shape, 24), torch.randn(1, *shape, 24)
    gradients = []
    for form in a_pair_of_forms(side):
        loss = (form.double()(x.double()) * weight.double()).sum()
        gradients.append(torch.autograd.grad(loss, tuple(form.parameters())))
    for fast, plain in zip(*gradients, strict=True):
        assert torch.isfinite(fast).all()
        assert torch.allclose(fast, plain, rtol=1e-6, atol=1e-8)


def test_padding_takes_part_in_the_softmax(a_pair_of_forms):
    """The official weights expect it: masking it would be another network."""
    fast, _ = a_pair_of_forms(14)
    center = slice(14 - 4, 14 + 3)
    unpadded = CubeAttention(24, heads=3, side=4)
    state = {name: value[center] if "rel_pos" in name else value for name, value in fast.state_dict().items()}
    unpadded.load_state_dict(state)
    x = torch.randn(1, 4, 4, 4, 24)
    with torch.inference_mode():
        assert (fast(x) - unpadded(x)).abs().max() > 0.1


def test_the_shortcut_gives_the_plain_encoders_embedding_for_at_most_a_third_of_its_work():
    """Counted, not timed: `benchmark` times both forms, on a machine that does nothing else."""
    config = SamMed3DConfig(image_size=64, width=96, depth=3, heads=6, global_blocks=(2,), prompt_width=48)
    encoder = random_encoder(config, seed=0)
    plain = plain_encoder(encoder, config)
    image = torch.randn(1, 1, *[config.image_size] * 3)
    (fast, ours), (slow, theirs) = (counted(form, image) for form in (encoder, plain))
    assert (fast - slow).abs().max() < 5e-5 * slow.std()
    assert ours < theirs / 3


def counted(network, image):
    """A network's output, and the multiplications and additions of its matrices and convolutions."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        return network(image), counter.get_total_flops()
