"""The training loop of every family: Lightning Fabric's devices and processes, a recipe's steps, a run's folder.

On the CPU a run that was interrupted or killed goes on to the same losses, bit for bit: samples are made from their
numbers, each sample's simulated user from the same number, and all else is in the state.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inference_core.errors import SAM3DError
from inference_core.models.weights import load_strict
from inference_core.training.board import Board
from inference_core.training.checkpoint import load_training_state, save_content
from inference_core.training.config import TrainConfig
from inference_core.training.optimization import Optimization
from inference_core.training.page import Picture, keep_pictures, middle_slices, write_page
from inference_core.training.processes import Device, Processes
from inference_core.training.progress import Progress, Reporter
from inference_core.training.recipe import Batch, Draws, Recipe, SampleSource, Stage, Step
from inference_core.training.run_folder import RunFolder

log = logging.getLogger(__name__)
_USER_SEED, _SHARED_SEED = 1, 2
_VALIDATION_SEED = 7_919
_MOST_LOST = 20
_PICTURES = 8
# Of a budget in minutes, before the first step has told the pace: enough that a rate which starts low does.
_UNKNOWN_STEPS = 1_000


def _leave_signals_to_the_trainer(_worker: int) -> None:
    """Batch systems and terminals signal a whole group: its workers go on, for the step under way needs them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class TrainingError(SAM3DError):
    """The training cannot go on."""


class Trainer:
    """Trains a recipe's network within the configuration's budget and keeps the run's folder up to date."""

    def __init__(
        self,
        config: TrainConfig,
        recipe: Recipe,
        folder: RunFolder,
        *,
        fabric: Device,
        reporter: Reporter | None = None,
    ) -> None:
        self.config, self.recipe, self.folder, self.fabric = config, recipe, folder, fabric
        self.processes = Processes(fabric)
        self.reporter = reporter or Reporter()
        self.progress = Progress()
        self.board = Board(folder.board)
        network = recipe.network
        self.optimization = Optimization(network, recipe.plan, config)
        self.averaged = (
            {name: value.detach().clone() for name, value in network.state_dict().items()} if config.ema else {}
        )
        self._module, self._optimizer = fabric.setup(_Stepping(recipe, fabric.world_size), self.optimization.optimizer)
        self._stopping, self._lost = False, 0
        self._kept_step: int | None = None
        self._pictures: list[Picture] = []

    def resume(self) -> None:
        """Go on where the run's newest state was written.

        Raises:
            CheckpointError: the state is absent, damaged or of another network.
        """
        state = load_training_state(self.folder.state)
        load_strict(self.recipe.network, state["network"], name=self.folder.state.name)
        self.averaged = {name: value.clone() for name, value in state["ema"].items()}
        self.optimization.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"][self.fabric.global_rank])
        self.progress = Progress.of(state["progress"])
        if self.fabric.is_global_zero:
            self.folder.cut_log(self.progress.step)
            self.board.resume(self.progress.step)

    def run(self, stages: list[Stage], validation: SampleSource | None) -> None:
        """Train through all stages.

        Raises:
            TrainingError: the loss is not a number again and again, or another process ended.
            KeyboardInterrupt: SIGINT or SIGTERM came; the step under way was finished and the state written.
        """
        self.progress.begin()
        with closing(self.board):
            if self.progress.best is None and validation is not None:
                self._validate(validation)
            with self._stopping_softly(), self.reporter.running(self.progress, self.config):
                self._stages(stages, validation)
            if self._kept_step != self.progress.step:
                self._keep(validation)
        if self._stopping:
            raise KeyboardInterrupt

    def weights(self) -> Mapping[str, Tensor]:
        """What is written and judged: the averaged weights where there are any, else the present ones."""
        return self.averaged or self.recipe.network.state_dict()

    def _stages(self, stages: list[Stage], validation: SampleSource | None) -> None:
        until = 0.0
        for stage in stages:
            until += stage.share
            if not self._stopping and self._spent() < min(1.0, until):
                self._stage(stage, until=min(1.0, until), validation=validation)

    def _stage(self, stage: Stage, *, until: float, validation: SampleSource | None) -> None:
        batches = self._batches(stage)
        while not self._stopped_everywhere() and self._spent() < until:
            self._one_step(batches, stage.batch)
            if validation is not None and self.progress.step % self.config.validate_every == 0:
                self._keep(validation)
            elif self.progress.step % self.config.save_every == 0:
                self._save()

    def _batches(self, stage: Stage) -> Iterator[Batch]:
        """This process's own of the samples that come next."""
        workers = self.config.workers
        loader: DataLoader[dict[str, Any]] = DataLoader(
            stage.samples,  # type: ignore[arg-type]
            batch_size=stage.batch,
            sampler=self.processes.numbers(self.progress.samples, batch=stage.batch),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_leave_signals_to_the_trainer,
        )
        return iter(loader)

    def _one_step(self, batches: Iterator[Batch], size: int) -> None:
        factor = self.recipe.plan.schedule(self.progress.step, self._steps_in_all())
        self.optimization.set_rate(factor)
        losses, dices = [], []
        for turn in range(self.config.accumulate):
            batch = self.fabric.to_device(next(batches))
            with self.fabric.no_backward_sync(self._module, enabled=turn < self.config.accumulate - 1):
                step = self._module(batch)
                with self.processes.others_alive():
                    self.fabric.backward(step.loss / self.config.accumulate)
            losses.append(float(step.loss.detach()))
            dices.append(step.dice)
        norms = self.optimization.clip()
        self._learn(losses, norms)
        self.progress.step += 1
        self.progress.samples += size * self.config.accumulate * self.fabric.world_size
        self._report(losses, dices, factor)

    def _learn(self, losses: list[float], norms: list[float]) -> None:
        if np.isfinite(losses).all() and np.isfinite(norms).all():
            self._lost = 0
            self._optimizer.step()
            self._average()
        else:
            self._lost += 1
            if self._lost >= _MOST_LOST:
                raise TrainingError(
                    f"The loss was not a number {_MOST_LOST} times in a row; go on from the last state with a lower "
                    "--learning_rate, or --precision float32."
                )
        self._optimizer.zero_grad(set_to_none=True)

    def _average(self) -> None:
        step = self.progress.step
        decay = min(self.config.ema, (1 + step) / (10 + step)) if self.config.ema else 0.0
        for name, value in self.recipe.network.state_dict().items() if self.averaged else ():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)

    def _report(self, losses: list[float], dices: list[tuple[float, ...]], factor: float) -> None:
        line = {
            "step": self.progress.step, "loss": float(np.mean(losses)), "rate": self.config.learning_rate * factor,
            "dice_first": float(np.mean([dice[0] for dice in dices])),
            "dice_last": float(np.mean([dice[-1] for dice in dices])), "minutes": round(self.progress.minutes, 3),
        }  # fmt: skip
        line = self.processes.mean(line, ("loss", "dice_first", "dice_last"))
        if self.fabric.is_global_zero:
            self._log(line)
            self.reporter.stepped(line)

    def _keep(self, validation: SampleSource | None) -> None:
        """Look at the kept back cases, write the weights, the page, and the state after them."""
        better = self._validate(validation)
        if self.fabric.is_global_zero:
            optimizer = self.optimization.optimizer.state_dict()
            self.recipe.save(self.folder.last, self.weights(), optimizer=optimizer)
            if better or validation is None:
                self.recipe.save(self.folder.best, self.weights(), optimizer=optimizer)
                self.folder.name_weights(self.config.model, self.folder.best)
            elif not self.folder.best.exists():
                self.folder.name_weights(self.config.model, self.folder.last)
            write_page(self.folder)
        self._save()
        self._kept_step = self.progress.step

    def _validate(self, validation: SampleSource | None) -> bool:
        """Whether the weights are the best yet on the cases kept back."""
        if validation is None:
            return False
        dice = self._dice_on(validation)
        better = self.progress.best is not None and dice > self.progress.best
        if self.progress.best is None or better:
            self.progress.best = dice
        if self.fabric.is_global_zero:
            line = {"step": self.progress.step, "validation_dice": dice, "best": self.progress.best}
            self._log(line)
            self.reporter.validated(line)
            keep_pictures(self.folder, self._pictures, step=self.progress.step)
        return better

    def _log(self, line: Mapping[str, Any]) -> None:
        self.folder.append(line)
        self.board.add(line)

    @torch.no_grad()
    def _dice_on(self, validation: SampleSource) -> float:
        """The mean Dice over samples and prompts; each process looks at its own share of the samples."""
        network = self.recipe.network
        present = {name: value.clone() for name, value in network.state_dict().items()} if self.averaged else None
        state = torch.get_rng_state()
        network.eval()
        if self.averaged:
            network.load_state_dict(self.averaged)
        found: list[Any] = []
        self._pictures.clear()
        for number in self.processes.share(self.config.validation_samples):
            collated = torch.utils.data.default_collate([validation[number]])
            batch: Batch = self.fabric.to_device(collated)
            rng = np.random.default_rng([_VALIDATION_SEED, number])
            step = self.recipe.step(batch, Draws([rng], rng))
            found.append(np.mean(step.dice))
            if len(self._pictures) < _PICTURES:
                self._pictures.append(middle_slices(*map(_volume, (batch["image"], batch["target"], step.masks))))
        if present is not None:
            network.load_state_dict(present)
        network.train()
        torch.set_rng_state(state)
        return self.processes.mean_of(found)

    def _save(self) -> None:
        states = self.processes.gather(torch.get_rng_state())
        if self.fabric.is_global_zero:
            state = {
                "network": self.recipe.network.state_dict(), "ema": dict(self.averaged),
                "optimizer": self.optimization.optimizer.state_dict(), "progress": self.progress.plain(),
                "torch_rng": states,
            }  # fmt: skip
            save_content(self.folder.state, state)

    def _stopped_everywhere(self) -> bool:
        """Whether any process was told to stop: all end after the same step."""
        return self.processes.any(self._stopping)

    @contextmanager
    def _stopping_softly(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run after the step under way; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True

        earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _spent(self) -> float:
        """The share of the budget that is used up."""
        if self.config.steps:
            return self.progress.step / self.config.steps
        return self.processes.largest(self.progress.minutes / self.config.minutes)

    def _steps_in_all(self) -> int:
        """The steps of the budget; of a budget in minutes as many as it will be at this pace."""
        if self.config.steps:
            return self.config.steps
        if not self.progress.step:
            return _UNKNOWN_STEPS
        return max(self.progress.step + 1, round(self.progress.step / max(self._spent(), 1e-6)))


class _Stepping(nn.Module):
    """A recipe's step as a module, so that gradients of several processes are brought together after it."""

    def __init__(self, recipe: Recipe, processes: int) -> None:
        super().__init__()
        self.network = recipe.network
        self._step, self._processes = recipe.step, processes

    def forward(self, batch: Batch) -> Step:
        numbers = [int(number) for number in batch["number"]]
        own = [np.random.default_rng([_USER_SEED, number]) for number in numbers]
        turn = numbers[0] // (len(numbers) * self._processes)
        return self._step(batch, Draws(own, np.random.default_rng([_SHARED_SEED, turn])))


def _volume(batch: Tensor) -> np.ndarray:
    """The first sample's first channel as a volume (D, H, W), a slice as one of depth 1."""
    first = batch[0]
    while first.ndim > 3:
        first = first[0]
    return np.asarray((first if first.ndim == 3 else first[None]).float().cpu().numpy())
