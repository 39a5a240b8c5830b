"""The training loop of SAM3D lite: a time budget, simulated interaction, an averaged copy of the weights.

The loss is taken after every click of a batch: beside the encoder, which runs once, a decoder's step costs little.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from inference_core.errors import OutputError
from inference_core.io.atomic import check_writable
from inference_core.models.blocks.conv3d import channels_last
from inference_core.models.sam3d_lite.model import normalize
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.checkpoint import load_training_state, save_training_state, save_weights
from inference_core.training.config import TrainingConfig
from inference_core.training.dataset import TrainingWindows
from inference_core.training.interaction import SimulatedUser
from inference_core.training.losses import mask_loss, quality_loss
from inference_core.training.measure import Measure, batch_dice
from inference_core.training.sources import TrainingSources

log = logging.getLogger(__name__)
_REPORT_EVERY = 25
_ENDLESS = 2**40
_CLICK_SHARES = (0.2, 0.25, 0.25, 0.15, 0.1, 0.05)
_FIRST_CLICKS = (0.7, 0.2, 0.1)


@dataclass
class Progress:
    """Where a run stands: `earlier_minutes` were spent before it was last resumed, `best` is its best measure yet."""

    started: float = field(default_factory=time.monotonic)
    earlier_minutes: float = 0.0
    steps: int = 0
    samples: int = 0
    best: float | None = None
    recent: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def minutes(self) -> float:
        """Time spent so far, with that before the run was resumed."""
        return self.earlier_minutes + (time.monotonic() - self.started) / 60


class Trainer:
    """Trains one network within the budget and writes it, as fp16 safetensors, to `config.output`.

    Raises:
        CheckpointError: the file to start from is damaged or of another network.
    """

    def __init__(self, config: TrainingConfig, sizes: LiteConfig | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.network = channels_last(LiteNetwork(sizes or LiteConfig()))
        if config.start_from:
            state = widened(load_state_dict(config.start_from), STROKE_CHANNELS)
            load_strict(self.network, state, name=config.start_from.name)
        if config.quality_only:
            self.network.requires_grad_(False)
            self.network.decoder.quality.requires_grad_(True)
        self.ema = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            [weight for weight in self.network.parameters() if weight.requires_grad],
            config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.progress = Progress()
        self._stopping = False
        if config.resume:
            self._resume(load_training_state(self.state_file))

    @property
    def state_file(self) -> Path:
        """Where all that the run needs to go on is kept."""
        return self.config.output.with_suffix(".state.pt")

    def run(self) -> bool:
        """Train through all stages; an interrupt (SIGINT or SIGTERM) keeps what was learnt.

        Returns whether the run has written weights: whether it ever was better than what it began with.

        Raises:
            OutputError: the output cannot be written, or is there already and of another run; nothing has been trained.
            VolumeError: a labeled image cannot be used; likewise.
            KeyboardInterrupt: the run was interrupted, after its state was written.
        """
        self._check_outputs()
        sources = TrainingSources.read(self.config)
        validation = TrainingSources.read(self.config, validation=True)
        self.measure = Measure(self.config, validation, size=self.config.measured_size)
        counts = ", ".join(f"{len(pool.cases)} cases at {pool.share:.0%}" for pool in sources.pools)
        log.info("%.1f M parameters; %s", _millions(self.network), counts or "procedural volumes alone")
        self.progress.started = time.monotonic()
        if self.progress.best is None:
            self.progress.best = self.measure.dice(self.network, self.ema)
        with self._stopping_softly():
            try:
                self._stages(sources)
            finally:
                self.save()
        if self._stopping:
            raise KeyboardInterrupt
        return self.config.output.exists()

    def save(self) -> None:
        """Write the state to go on from, and the averaged weights where they are the best so far by the run's measure.

        No weights are written that are not better than those the run began with.
        """
        progress = self.progress
        dice = self.measure.dice(self.network, self.ema)
        if progress.best is not None and dice > progress.best:
            progress.best = dice
            save_weights(self.config.output, self.ema)
        log.info(json.dumps({"step": progress.steps, "measured": round(dice, 4), "best": round(progress.best or 0, 4)}))
        state = {
            "network": self.network.state_dict(), "ema": self.ema, "optimizer": self.optimizer.state_dict(),
            "steps": progress.steps, "samples": progress.samples, "minutes": progress.minutes, "best": progress.best,
            "numpy_rng": json.dumps(self.rng.bit_generator.state), "torch_rng": torch.get_rng_state(),
        }  # fmt: skip
        save_training_state(self.state_file, state)

    def _check_outputs(self) -> None:
        for path in (self.config.output, self.state_file):
            check_writable(path)
            if path.exists() and not self.config.resume:
                raise OutputError(f"'{path}' is of another run; go on with that one (resume) or choose another name.")

    def _resume(self, state: dict[str, Any]) -> None:
        load_strict(self.network, state["network"], name=self.state_file.name)
        self.ema = {name: value.clone() for name, value in state["ema"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = json.loads(state["numpy_rng"])
        torch.set_rng_state(state["torch_rng"])
        self.progress = Progress(
            earlier_minutes=state["minutes"], steps=state["steps"], samples=state["samples"], best=state["best"]
        )

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

    def _stages(self, sources: TrainingSources) -> None:
        until = 0.0
        for share, size, batch in self.config.stages:
            until += share
            if self._spent() < until:
                self._stage(TrainingWindows(self.config, sources, size=size), until=until, batch=batch)

    def _stage(self, windows: TrainingWindows, *, until: float, batch: int) -> None:
        stream: Iterator[list[Tensor]] = iter(
            DataLoader(
                windows,
                batch_size=batch,
                sampler=range(self.progress.samples, _ENDLESS),
                num_workers=self.config.workers,
                prefetch_factor=4 if self.config.workers else None,
            )
        )
        while not self._stopping and (spent := self._spent()) < until:
            self._set_rate(spent)
            self.progress.recent.append(self._step(*next(stream)))
            self.progress.steps += 1
            self.progress.samples += batch
            if self.progress.steps % _REPORT_EVERY == 0:
                self._report(windows.size)
            if self.progress.steps % (10 * _REPORT_EVERY) == 0:
                self.save()

    def _step(self, raw: Tensor, target: Tensor, whole: Tensor) -> tuple[float, float, float]:
        image = normalize(raw).contiguous(memory_format=torch.channels_last_3d)
        truth = target[:, None].float()
        user = SimulatedUser(target, habits=self.config.habits, rng=self.rng)
        shares = _FIRST_CLICKS if self.config.quality_only else _CLICK_SHARES
        clicks = 1 + int(self.rng.choice(len(shares), p=shares))
        with self._precision():
            features = self.network.encoder(image)
        loss, first, last = torch.zeros(()), 0.0, 0.0
        for click in range(clicks):
            with self._precision():
                logits, quality = self.network.decoder(features, image, user.prompts())
            logits, quality = logits.float(), quality.float()
            loss = loss + self._loss(logits, quality, truth, whole) / clicks
            last = batch_dice(logits, truth)
            first = last if click == 0 else first
            if click < clicks - 1:
                user.see(logits)
        self._learn(loss)
        return float(loss.detach()), first, last

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16)

    def _loss(self, logits: Tensor, quality: Tensor, truth: Tensor, whole: Tensor) -> Tensor:
        estimate = quality_loss(quality, logits, truth, whole)
        return estimate if self.config.quality_only else mask_loss(logits, truth) + 0.3 * estimate

    def _learn(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        decay = min(self.config.ema_decay, (1 + self.progress.steps) / (10 + self.progress.steps))
        for name, value in self.network.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)

    def _set_rate(self, spent: float) -> None:
        warm = min(1.0, (self.progress.steps + 1) / 100)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, spent))))

    def _spent(self) -> float:
        """The share of the budget that is used up."""
        if self.config.steps is not None:
            return self.progress.steps / self.config.steps
        assert self.config.minutes is not None
        return self.progress.minutes / self.config.minutes

    def _report(self, size: int) -> None:
        loss, first, last = np.mean(self.progress.recent, axis=0)
        self.progress.recent.clear()
        line = {
            "step": self.progress.steps, "samples": self.progress.samples, "window": size,
            "minutes": round(self.progress.minutes, 1), "loss": round(float(loss), 3),
            "dice_first": round(float(first), 3), "dice_last": round(float(last), 3),
        }  # fmt: skip
        log.info(json.dumps(line))


def _millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6
