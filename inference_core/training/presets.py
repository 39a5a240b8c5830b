"""Settings that fit the hardware, and what is left open filled in as the model's paper has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inference_core.errors import OptionError
from inference_core.models.registry import get_spec
from inference_core.training.config import TrainConfig
from inference_core.training.recipe import Plan, check_scope


@dataclass(frozen=True)
class Preset:
    """The most samples at once, and how memory and time are saved; what the paper's batch lacks is accumulated."""

    most_batch: int
    precision: str
    checkpointing: bool


PRESETS = {
    "cpu": Preset(2, "float32", checkpointing=False),
    "8gb": Preset(1, "bfloat16", checkpointing=True),
    "24gb": Preset(2, "bfloat16", checkpointing=True),
    "h100": Preset(16, "bfloat16", checkpointing=False),
}
_LEAST_GB = {"h100": 60, "24gb": 20}


def resolved(config: TrainConfig, plan: Plan, *, cases: int, processes: int = 1) -> TrainConfig:
    """The configuration with nothing left open; `cases` is how many are trained on.

    Raises:
        OptionError: there is no such preset or scope.
    """
    preset = PRESETS[chosen_preset(config.preset, config.device)]
    batch = config.batch or max(1, min(plan.batch, preset.most_batch))
    accumulate = config.accumulate or max(1, math.ceil(plan.batch / (batch * processes)))
    steps = config.steps
    if not steps and not config.minutes:
        epochs = config.epochs or plan.epochs
        steps = max(1, math.ceil(epochs * max(1, cases) / (batch * accumulate * processes)))
    return replace(
        config,
        scope=check_scope(config.scope, plan),
        steps=steps,
        epochs=config.epochs or plan.epochs,
        batch=batch,
        accumulate=accumulate,
        learning_rate=config.learning_rate or plan.learning_rate,
        weight_decay=plan.weight_decay if config.weight_decay is None else config.weight_decay,
        precision=config.precision or preset.precision,
        checkpointing=preset.checkpointing if config.checkpointing is None else config.checkpointing,
        clicks=config.clicks or plan.clicks,
        ema=plan.ema if config.ema is None else config.ema,
    )


def chosen_preset(name: str, device: str) -> str:
    """The preset asked for, or the largest one that the graphics card holds.

    Raises:
        OptionError: there is no such preset.
    """
    if name in PRESETS:
        return name
    if name != "auto":
        raise OptionError(f"There is no preset '{name}'; choose auto, {', '.join(PRESETS)}.")
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    gigabytes = torch.cuda.get_device_properties(0).total_memory / 1e9
    return next((preset for preset, least in _LEAST_GB.items() if gigabytes >= least), "8gb")


def check_settings(config: TrainConfig) -> None:
    """Refuse values that make no sense.

    Raises:
        OptionError: there is one.
    """
    for name in ("steps", "minutes", "epochs", "batch", "accumulate", "learning_rate", "clicks", "image_size"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= 0):
            raise OptionError(f"{name} cannot be {value}; give a number above zero, or leave it out.")
    _check_budget(config)
    _check_texts(config)
    if config.precision not in ("", "float32", "bfloat16"):
        raise OptionError(f"There is no precision '{config.precision}'; choose float32 or bfloat16.")
    for name in ("validate_every", "validation_samples", "save_every"):
        if getattr(config, name) < 1:
            raise OptionError(f"{name} is {getattr(config, name)}; give at least 1.")
    if not 0 <= config.seed < 2**63:
        raise OptionError(f"The seed {config.seed} is not between 0 and {2**63 - 1}; choose another.")
    if config.shares and len(config.shares) != len(config.data):
        raise OptionError(f"There are {len(config.data)} data sets but {len(config.shares)} shares; give one for each.")
    if config.ema is not None and not 0 <= config.ema < 1:
        raise OptionError(f"The averaged weights' decay is {config.ema}; give a number from 0 to below 1.")


def _check_texts(config: TrainConfig) -> None:
    if config.text_encoder is None:
        if config.text_file is not None:
            raise OptionError("Texts need a CLIP to be read with; give its folder too (--text-encoder).")
        return
    if config.pretrain or not get_spec(config.model).reads_text:
        raise OptionError("Only a Medical SAM Adapter learns texts; leave out the text encoder, or choose that model.")
    if config.shared_clicks:
        raise OptionError("A batch that shares its clicks cannot be told texts; leave out --shared-clicks.")


def _check_budget(config: TrainConfig) -> None:
    if not (config.data or config.steps or config.minutes):
        raise OptionError("Without labeled cases there is no end to training; give --steps or --minutes, or --data.")
    if config.steps and config.minutes:
        raise OptionError("Both steps and minutes are given; choose one of them.")
