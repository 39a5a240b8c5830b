"""What a run reads: each folder with its share, and cases set aside only to choose weights by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference_core.errors import VolumeError
from inference_core.io.files import write_labels
from inference_core.training.config import TrainingConfig
from inference_core.training.labeled import HELD_OUT, VALIDATION
from inference_core.training.measure import Measure
from inference_core.training.sources import TrainingSources


@pytest.fixture
def folders(tmp_path, a_patient, a_grid) -> TrainingConfig:
    """Two sarcoma patients, one of them for validation, and a folder of lesions with one case of each kind."""
    a_patient(tmp_path / "sarcoma" / "STS_001", images=("CT",))
    a_patient(tmp_path / "sarcoma" / "STS_002", images=("PET",))
    for case in ("01_pre", "08_pre", "10_pre"):
        a_patient(tmp_path / "lesions" / case, images=("MR",))
        folder = tmp_path / "lesions" / case
        (folder / "MR_image.nii.gz").rename(folder / "image.nii.gz")
        (folder / "MR_label.nii.gz").rename(folder / "label.nii.gz")
    return TrainingConfig(
        output=tmp_path / "w", steps=1, sarcoma=tmp_path / "sarcoma", lesions=tmp_path / "lesions", measured_windows=2
    )


def places(sources: TrainingSources) -> list[tuple[float, int]]:
    return [(pool.share, len(pool.cases)) for pool in sources.pools]


def test_a_run_without_folders_has_no_source():
    assert TrainingSources.read(TrainingConfig(output=Path("w"), steps=1)).pools == ()


def test_each_folder_is_a_pool_with_its_share_and_neither_reads_what_is_held_out(folders):
    assert places(TrainingSources.read(folders)) == [(folders.labeled, 3), (folders.lesion_share, 1)]
    assert places(TrainingSources.read(folders, validation=True)) == [(folders.labeled, 1), (folders.lesion_share, 1)]


def test_what_is_reported_on_is_never_chosen_by():
    assert not HELD_OUT & VALIDATION


def test_a_bad_case_is_named(folders, a_grid):
    other = a_grid.cropped((0, 0, 0), (9, 9, 9))
    write_labels(folders.lesions / "01_pre" / "label.nii.gz", np.ones(other.shape, dtype=np.uint8), other)
    with pytest.raises(VolumeError, match=r"^[^\n]*'01_pre'[^\n]*\.$"):
        TrainingSources.read(folders)


def test_networks_are_measured_on_the_same_windows_every_time(folders):
    from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork

    network = LiteNetwork(LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8))
    measure = Measure(folders, TrainingSources.read(folders, validation=True), size=16)
    weights = network.state_dict()
    first = measure.dice(network, weights)
    assert measure.dice(network, weights) == first
    assert 0 <= first <= 1
    everything = {name: value.clone() for name, value in weights.items()}
    everything["decoder.head.weight"].zero_()
    everything["decoder.head.bias"].fill_(9.0)
    shares = [float(target.float().mean()) for _, target, _ in measure.windows]
    expected = np.mean([2 * share / (1 + share) for share in shares])
    assert measure.dice(network, everything) == pytest.approx(expected, abs=1e-3)
    assert (network.state_dict()["decoder.head.bias"] == weights["decoder.head.bias"]).all()
