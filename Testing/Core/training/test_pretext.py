"""Learning without labels: the three losses on cases worked by hand, and an encoder that begins training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from support.labeled_sets import write_balls

from inference_core.errors import OptionError
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.weights import load_state_dict
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.pretext import (
    embedding_mixup,
    masked_reconstruction,
    masks,
    mixing_shares,
    shuffled,
    shuffled_prediction,
)
from inference_core.training.recipe import Draws
from inference_core.training.recipes.pretraining import LiteView, PretrainRecipe, build
from inference_core.training.run import train


def test_only_masked_patches_count_and_each_in_its_own_scale():
    """A patch (1, 3) is (-1, 1) in its own mean and deviation; predicting (0, 0) is an error of 1."""
    patches = torch.tensor([[[1.0, 3.0], [10.0, 30.0], [5.0, 5.0]]])
    nothing = torch.zeros(1, 3, 2)
    both = torch.tensor([[True, True, False]])
    assert float(masked_reconstruction(nothing, patches, both)) == pytest.approx(1.0, abs=1e-4)
    right = torch.tensor([[[-1.0, 1.0], [0.0, 0.0], [9.0, 9.0]]])
    assert float(masked_reconstruction(right, patches, both)) == pytest.approx(0.5, abs=1e-4)
    assert float(masked_reconstruction(right, patches, torch.tensor([[True, False, False]]))) < 1e-6


def test_a_mixture_is_as_near_to_each_original_as_it_holds_of_it():
    """A mixture half way between two orthogonal originals is alike to both: the loss is ln 2 whatever the shares."""
    originals = torch.eye(2)
    middle = torch.tensor([[1.0, 1.0]])
    assert float(embedding_mixup(middle, originals, torch.tensor([[0.5, 0.5]]))) == pytest.approx(np.log(2), abs=1e-6)
    assert float(embedding_mixup(middle, originals, torch.tensor([[1.0, 0.0]]))) == pytest.approx(np.log(2), abs=1e-6)
    first = torch.tensor([[1.0, 0.0]])
    loss = embedding_mixup(first, originals, torch.tensor([[1.0, 0.0]]), temperature=1.0)
    assert float(loss) == pytest.approx(np.log(1 + np.exp(-1)), abs=1e-6)


def test_shares_add_up_to_one():
    shares = mixing_shares(5, np.random.default_rng(0))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(5))
    assert (shares >= 0).all()


def test_shuffling_is_told_and_nothing_is_lost():
    patches = torch.arange(20.0).reshape(1, 10, 2)
    changed, moved = shuffled(patches, 0.3, torch.Generator().manual_seed(0))
    assert int(moved.sum()) == 3
    assert torch.equal((changed != patches).any(dim=-1), moved)
    assert torch.equal(changed.flatten().sort().values, patches.flatten())


def test_moved_and_unmoved_patches_weigh_alike():
    """One of four is moved: logits of zero cost ln 2, and half of it where the one is told rightly."""
    moved = torch.tensor([[True, False, False, False]])
    assert float(shuffled_prediction(torch.zeros(1, 4), moved)) == pytest.approx(np.log(2), abs=1e-5)
    sure = torch.tensor([[50.0, 0.0, 0.0, 0.0]])
    assert float(shuffled_prediction(sure, moved)) == pytest.approx(np.log(2) / 2, abs=1e-5)


def test_as_many_patches_are_masked_in_each_image():
    assert masks((3, 10), 0.6, torch.Generator().manual_seed(0)).sum(dim=1).tolist() == [6, 6, 6]


def test_patches_of_the_default_model_are_encoded_as_the_whole_image_is():
    network = LiteNetwork(LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8)).eval()
    view, image = LiteView(network, size=16), torch.rand(2, 16, 16, 16)
    from inference_core.models.sam3d_lite.model import normalize

    with torch.no_grad():
        whole = network.encoder(normalize(image))["middle"]
        pooled = torch.nn.functional.adaptive_avg_pool3d(whole, 2).flatten(2).transpose(1, 2)
        torch.testing.assert_close(view.encode(view.embed(image)), pooled, atol=1e-5, rtol=1e-4)
    assert view.patches(image)[0, 1].reshape(8, 8, 8).equal(image[0, :8, :8, 8:])


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory) -> Path:
    folder = write_balls(tmp_path_factory.mktemp("unlabeled") / "balls", cases=("a", "b", "c"))
    for path in (folder / "labelsTr").iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize("objective", ["mae", "emix", "shed"])
def test_each_objective_can_be_learned(tmp_path, objective):
    """Four smooth images, the same question again and again, a network of toy size."""
    torch.manual_seed(0)
    network = LiteNetwork(LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8))
    recipe = PretrainRecipe(TrainConfig(tmp_path), LiteView(network, size=32), None, objectives=(objective,))
    rng = np.random.default_rng(0)
    image = np.stack([ndi.gaussian_filter(rng.standard_normal((32, 32, 32)), 3) for _ in range(4)])
    batch = {"image": torch.from_numpy(image.astype(np.float32))}
    optimizer = torch.optim.Adam(recipe.network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = recipe.step(batch, Draws([], np.random.default_rng(5))).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert network.encoder.stem.weight.grad.abs().sum() > 0


def test_training_begins_with_a_pre_trained_encoder(tmp_path, unlabeled):
    settings = {"workers": 0, "validation_samples": 1, "device": "cpu", "steps": 1}
    config = TrainConfig(output=tmp_path / "first", data=(unlabeled,), pretrain=("mae", "shed"), batch=2, **settings)
    first = train(config)
    labeled = write_balls(tmp_path / "balls")
    mixture = LiteMixture(sizes=(16,), batches=(1,), stage_shares=(1.0,))
    second = train(
        TrainConfig(
            output=tmp_path / "second", data=(labeled,), start_from=first.path, lite=mixture, learning_rate=1e-12,
            **settings,
        )
    )  # fmt: skip
    given, begun = load_state_dict(first.last), load_state_dict(second.last)
    torch.testing.assert_close(begun["encoder.stem.weight"], given["encoder.stem.weight"], atol=1e-3, rtol=1e-2)


def test_a_sam_is_pre_trained_and_stays_one(tmp_path, unlabeled):
    from inference_core.models.blocks.sam_network import SamNetwork
    from inference_core.models.blocks.sam_sizes import SamSizes

    sizes = SamSizes(
        image_size=64, width=32, depth=2, heads=2, window=3, global_blocks=(1,), prompt_width=32, mask_channels=4,
        decoder_hidden=64, quality_hidden=16, upscaled=(8, 4),
    )  # fmt: skip
    torch.save(SamNetwork(sizes).state_dict(), tmp_path / "sam.pth")
    folder = train(
        TrainConfig(
            output=tmp_path / "run", model="sam", data=(unlabeled,), start_from=tmp_path / "sam.pth", steps=2,
            pretrain=("mae", "emix", "shed"), batch=2, accumulate=1, workers=0, validation_samples=1, device="cpu",
        )
    )  # fmt: skip
    assert load_state_dict(folder.last).keys() == SamNetwork(sizes).state_dict().keys()


def test_unknown_objectives_and_models_without_such_an_encoder_are_refused(tmp_path, unlabeled):
    config = TrainConfig(output=tmp_path / "run", data=(unlabeled,), pretrain=("jigsaw",), steps=1)
    with pytest.raises(OptionError, match="Choose from the objectives mae, emix, shed"):
        train(config)
    with pytest.raises(OptionError, match="Pre-training is of"):
        build(TrainConfig(output=tmp_path / "run", model="sam_med3d", pretrain=("mae",)))
