"""Several processes on one run: which samples are whose, and what they have to agree on.

Together they see the samples that one process of so many times the batch would see, in the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from inference_core.errors import SAM3DError

_ENDLESS = 2**40
# What gloo and NCCL say of a peer that is gone.
_LOST = ("gloo", "NCCL", "Connection", "peer")


class Device(Protocol):
    """What a run asks of Lightning Fabric, which brings devices, precision and processes."""

    world_size: int
    global_rank: int
    is_global_zero: bool

    def setup(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]: ...

    def to_device(self, obj: Any) -> Any: ...

    def backward(self, tensor: Tensor) -> None: ...

    def no_backward_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]: ...

    def all_reduce(self, data: Tensor, reduce_op: str = "mean") -> Any: ...

    def all_gather(self, data: Tensor) -> Any: ...

    def barrier(self) -> None: ...


class OnCpu:
    """One process on the CPU in float32: all that adapting a small network takes, where Fabric is not installed."""

    world_size, global_rank, is_global_zero = 1, 0, True

    def setup(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Both as they are."""
        return module, optimizer

    def to_device(self, obj: Any) -> Any:
        """It is there."""
        return obj

    def backward(self, tensor: Tensor) -> None:
        """Gradients of a loss."""
        torch.autograd.backward(tensor)

    def no_backward_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        """There is nobody to bring gradients together with."""
        return nullcontext()

    def all_reduce(self, data: Tensor, reduce_op: str = "mean") -> Tensor:
        """The only process's own."""
        return data

    def all_gather(self, data: Tensor) -> Tensor:
        """The only process's own."""
        return data[None]

    def barrier(self) -> None:
        """There is nobody to wait for."""


class LostProcess(SAM3DError):
    """Another process of the run ended."""


class Numbers(Sampler[int]):
    """The numbers of one process's samples: of each round of batches its own."""

    def __init__(self, first: int, *, batch: int, rank: int, processes: int) -> None:
        self.first, self.batch, self.rank, self.processes = first, batch, rank, processes

    def __iter__(self) -> Iterator[int]:
        for start in range(self.first + self.rank * self.batch, _ENDLESS, self.batch * self.processes):
            yield from range(start, start + self.batch)

    def __len__(self) -> int:
        return _ENDLESS


class Processes:
    """What a run asks of Fabric beyond a step."""

    def __init__(self, fabric: Device) -> None:
        self.fabric = fabric

    def numbers(self, first: int, *, batch: int) -> Numbers:
        """This process's own samples from number `first` on."""
        return Numbers(first, batch=batch, rank=self.fabric.global_rank, processes=self.fabric.world_size)

    def share(self, count: int) -> range:
        """This process's own of so many samples."""
        return range(self.fabric.global_rank, count, self.fabric.world_size)

    def mean(self, line: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """A line of which some values are the mean over all processes."""
        if self.fabric.world_size == 1:
            return line
        with self.others_alive():
            values = self.fabric.all_reduce(torch.tensor([line[name] for name in names], dtype=torch.float64))
        assert isinstance(values, Tensor)
        return {**line, **dict(zip(names, values.tolist(), strict=True))}

    def mean_of(self, values: Sequence[Any]) -> float:
        """The mean of all processes' values."""
        total = torch.tensor([float(sum(values)), float(len(values))], dtype=torch.float64)
        if self.fabric.world_size > 1:
            with self.others_alive():
                total = self.fabric.all_reduce(total, reduce_op="sum")
        return float(total[0] / total[1].clamp(min=1))

    def largest(self, value: float) -> float:
        """The largest of all processes' values."""
        if self.fabric.world_size == 1:
            return value
        with self.others_alive():
            return float(torch.as_tensor(self.fabric.all_gather(torch.tensor(value, dtype=torch.float64))).max())

    def any(self, value: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self.largest(float(value)))

    def gather(self, value: Tensor) -> list[Tensor]:
        """All processes' tensors of one shape, in order."""
        if self.fabric.world_size == 1:
            return [value]
        with self.others_alive():
            return list(self.fabric.all_gather(value))

    @contextmanager
    def others_alive(self) -> Iterator[None]:
        """Say in a sentence that another process is gone.

        Raises:
            LostProcess: it is.
        """
        try:
            yield
        except RuntimeError as error:
            if self.fabric.world_size > 1 and any(word in str(error) for word in _LOST):
                raise LostProcess(
                    "Another process of this run ended; start the same command again with --resume."
                ) from error
            raise
