"""The training loop of SAM3D lite: a time budget, simulated interaction, an averaged copy of the weights.

Of the clicks simulated for a batch only the last, and half the time the first, are differentiated: the others only
move the simulated user on, at a third of the cost.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from inference_core.io.atomic import check_writable
from inference_core.models.blocks.conv3d import channels_last
from inference_core.models.sam3d_lite.model import LiteConfig, LiteNetwork, normalize
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.checkpoint import save_training_state, save_weights
from inference_core.training.config import TrainingConfig
from inference_core.training.dataset import TrainingWindows
from inference_core.training.interaction import SimulatedUser
from inference_core.training.labeled import organ_training_set, sarcoma_training_set
from inference_core.training.losses import mask_loss, quality_loss

log = logging.getLogger(__name__)
_REPORT_EVERY = 25
_CLICK_SHARES = (0.25, 0.2, 0.2, 0.15, 0.12, 0.08)
_FIRST_CLICKS = (0.7, 0.2, 0.1)


@dataclass
class Progress:
    """Where a run stands."""

    started: float = field(default_factory=time.monotonic)
    steps: int = 0
    samples: int = 0
    recent: list[tuple[float, float, float]] = field(default_factory=list)


class Trainer:
    """Trains one network within `config.minutes` and writes it, as fp16 safetensors, to `config.output`.

    Raises:
        CheckpointError: the file to start from is damaged or of another network.
    """

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.network = channels_last(LiteNetwork(LiteConfig()))
        if config.start_from:
            load_strict(self.network, load_state_dict(config.start_from), name=config.start_from.name)
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

    def run(self) -> None:
        """Train through all stages; an interrupt keeps what was learnt.

        Raises:
            OutputError: the output's folder is absent or cannot be written; nothing has been trained then.
        VolumeError: a labeled image cannot be used; likewise.
        """
        check_writable(self.config.output)
        volumes = sarcoma_training_set(self.config.sarcoma) if self.config.sarcoma else []
        organs = organ_training_set(self.config.organs) if self.config.organs else []
        log.info("%d tumors, %d organs, %.1f M parameters", len(volumes), len(organs), _millions(self.network))
        self.progress = Progress()
        try:
            until = 0.0
            for share, size, batch in self.config.stages:
                until += share
                windows = TrainingWindows(self.config, volumes, organs, size=size)
                self._stage(windows, until=until, batch=batch)
        finally:
            self.save()

    def save(self) -> None:
        """Write the averaged weights and the state to go on from."""
        save_weights(self.config.output, self.ema)
        save_training_state(self.config.output.with_suffix(".state.pt"), self.network, self.ema)

    def _stage(self, windows: TrainingWindows, *, until: float, batch: int) -> None:
        stream: Iterator[list[Tensor]] = iter(
            DataLoader(
                windows,
                batch_size=batch,
                num_workers=self.config.workers,
                prefetch_factor=4 if self.config.workers else None,
            )
        )
        while (spent := self._spent()) < until:
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
        user = SimulatedUser(target, box_share=self.config.box_share, rng=self.rng)
        shares = _FIRST_CLICKS if self.config.quality_only else _CLICK_SHARES
        clicks = 1 + int(self.rng.choice(len(shares), p=shares))
        learn_first = clicks == 1 or self.rng.random() < 0.5
        with self._precision():
            features = self.network.encoder(image)
        loss, first, last = torch.zeros(()), 0.0, 0.0
        for click in range(clicks):
            learns = click == clicks - 1 or (click == 0 and learn_first)
            with torch.set_grad_enabled(learns):
                with self._precision():
                    logits, quality = self.network.decoder(features, image, user.prompts())
                logits, quality = logits.float(), quality.float()
                if learns:
                    loss = loss + self._loss(logits, quality, truth, whole)
            last = _dice(logits, truth)
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
            group["lr"] = self.config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, spent))))

    def _spent(self) -> float:
        return (time.monotonic() - self.progress.started) / (60 * self.config.minutes)

    def _report(self, size: int) -> None:
        loss, first, last = np.mean(self.progress.recent, axis=0)
        self.progress.recent.clear()
        line = {
            "step": self.progress.steps, "samples": self.progress.samples, "window": size,
            "minutes": round((time.monotonic() - self.progress.started) / 60, 1), "loss": round(float(loss), 3),
            "dice_first": round(float(first), 3), "dice_last": round(float(last), 3),
        }  # fmt: skip
        log.info(json.dumps(line))


@torch.no_grad()
def _dice(logits: Tensor, truth: Tensor) -> float:
    mask = (logits > 0).float()
    both = (mask * truth).sum(dim=(1, 2, 3, 4))
    return float((2 * both / (mask.sum(dim=(1, 2, 3, 4)) + truth.sum(dim=(1, 2, 3, 4))).clamp(min=1)).mean())


def _millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6
