"""Work shared out among processes that torchrun or Slurm has started: each takes every n-th case."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from inference_core.errors import SAM3DError

Item = TypeVar("Item")
_NAMES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))


@dataclass(frozen=True)
class Share:
    """Which of how many processes this one is."""

    rank: int = 0
    processes: int = 1

    @classmethod
    def of_environment(cls) -> Share:
        """As torchrun (RANK, WORLD_SIZE) or Slurm's srun (SLURM_PROCID, SLURM_NTASKS) says; the only one elsewhere."""
        for rank, processes in _NAMES:
            if rank in os.environ and processes in os.environ:
                return cls(int(os.environ[rank]), int(os.environ[processes]))
        return cls()

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's own of some items."""
        return items[self.rank :: self.processes]

    def gathered(self, mine: Any) -> list[Any] | None:
        """What all processes have, by rank, at the first of them; None at the others. They meet by gloo.

        Raises:
            SAM3DError: another process ended before.
        """
        if self.processes == 1:
            return [mine]
        import torch.distributed as dist

        try:
            dist.init_process_group("gloo", rank=self.rank, world_size=self.processes)
            found: list[Any] | None = [None] * self.processes if self.rank == 0 else None
            dist.gather_object(mine, found)
        except (RuntimeError, ValueError) as error:
            raise SAM3DError("Another process of this evaluation ended; start the same command again.") from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        return found
