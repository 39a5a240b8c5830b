"""A disk that is full where weights or a run's state are written: one sentence, and the file before stays."""

from __future__ import annotations

import pytest
import torch

from inference_core.errors import OutputError
from inference_core.training.checkpoint import save_content, save_weights

resource = pytest.importorskip("resource", reason="Windows limits no file's size")
NUMBERS = {"weight": torch.zeros(200_000)}


@pytest.fixture(params=[100, 100_000, 399_000])
def a_small_disk(request):
    """No file may grow beyond so many bytes, which ends in the middle of one at the latest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", [save_weights, save_content])
def test_it_is_told_in_a_sentence_and_the_file_before_stays(tmp_path, a_small_disk, write):
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=rf"'{path}' could not be written \(File too large\); free space"):
        write(path, NUMBERS)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
