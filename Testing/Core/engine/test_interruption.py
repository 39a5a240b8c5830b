import pytest
import torch

from inference_core.engine.interruption import interruptible
from inference_core.errors import Cancelled


def test_a_computation_stops_before_its_next_operation():
    done = []

    def check():
        if len(done) == 3:
            raise Cancelled("The work was stopped.")

    def work():
        for _ in range(10):
            torch.ones(2).add(1)
            done.append(True)

    with pytest.raises(Cancelled), interruptible(check):
        work()
    assert len(done) == 3


def test_an_undisturbed_one_gives_what_it_gives_without():
    layer, x = torch.nn.Conv3d(2, 3, 3), torch.randn(1, 2, 5, 5, 5)
    with torch.inference_mode(), interruptible(lambda: None):
        found = layer(x)
    assert torch.equal(found, layer(x))
