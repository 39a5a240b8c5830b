"""`train`: adapt a model to labeled cases by its paper's recipe; every setting of `TrainConfig` is an option."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.parsing import UsageError
from inference_core.cli.reporting import say
from inference_core.cli.sharding import Share
from inference_core.io.opening import check_readable
from inference_core.models.registry import get_spec

if TYPE_CHECKING:
    from inference_core.training.config import TrainConfig

NAME = "train"
SUMMARY = "adapt a model to your own labeled cases, by its paper's recipe"
DESCRIPTION = (
    "Train a model on labeled cases. Ctrl-C or SIGTERM keeps all that was learned, and --resume goes on from there, as "
    "it does after a crash. The folder RUN then stands for the model: --weights RUN."
)
EXAMPLES = """examples:
  sam3dsegment train --data my_cases --output run --start-from sam3d_lite.safetensors --scope norms --minutes 10
  sam3dsegment train --model ma_sam --data btcv --start-from sam_vit_h_4b8939.pth --output run --preset 24gb
  sam3dsegment train --model sam_med3d --data my_cases --output run --print-config > run.json
  sam3dsegment train --config run.json
  sam3dsegment train --output run --resume --steps 5000
  torchrun --nproc-per-node 2 -m inference_core train --model ma_sam --data btcv --output run

Data are folders in nnU-Net's raw layout, or any of those that Resources/Docs/data.md lists. Empty and zero settings
mean what the model's paper does; --print-config shows all filled in. Resources/Docs/training.md has the recipes.
"""
OWN_OPTIONS = True
_USAGE = "sam3dsegment train --data DIR [DIR ...] --output RUN [--model NAME] [any of the options below]"
_CONFIGS = ("--config", "--lite", "--lite.habits")
_LISTS: dict[str, type] = {"data": Path, "shares": float, "classes": int, "pretrain": str}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: the options are those of `TrainConfig`, parsed by `run`."""


def run(options: argparse.Namespace) -> None:
    """Train, and say where the weights are.

    Raises:
        SAM3DError: something given cannot be used; nothing has been trained then.
    """
    config, flags = parsed(options.rest)
    _check(config)
    if flags["print_config"]:
        print(json.dumps(_shown(config), indent=1))
        return
    from inference_core.cli.training_progress import reporter_for
    from inference_core.training.run import train

    folder = train(config, resume=flags["resume"], reporter=reporter_for(sys.stderr))
    if Share.of_environment().rank:
        return
    base = f" --base {config.start_from}" if get_spec(config.model).base and config.start_from else ""
    say(f"Written to '{folder.path}'; use it with --weights {folder.path}{base}, and see {folder.page.name} there.")


def parsed(arguments: Sequence[str]) -> tuple[TrainConfig, dict[str, bool]]:
    """The configuration of a command line, and what else it asks for.

    Raises:
        UsageError: an option is unknown or has no such value, or the libraries for training are not installed.
    """
    try:
        from jsonargparse import ArgumentParser, Namespace
    except ImportError as error:
        raise UsageError("Training needs more libraries; run: pip install 'sam3dsegment[train]'.") from error
    from inference_core.training.config import LiteMixture, TrainConfig

    parser = ArgumentParser(
        prog="sam3dsegment train", usage=_USAGE, description=DESCRIPTION, epilog=EXAMPLES, exit_on_error=False,
        formatter_class=_formatter(), default_env=False,
    )  # fmt: skip
    parser.add_argument("--config", action="config", help="a JSON or YAML file of these settings")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument("--show-config", action="store_true", help=argparse.SUPPRESS)
    parser.add_class_arguments(TrainConfig, skip=set(_LISTS))
    for name, kind in _LISTS.items():
        parser.add_argument(f"--{name}", type=kind, nargs="*", default=[], help=_help_of(name))
    _check_configs(arguments)
    found: Namespace = _parse(parser, [_with_underscores(argument) for argument in arguments])
    _check_budget(found, arguments)
    values = {field.name: getattr(found, field.name) for field in fields(TrainConfig)}
    values |= {name: tuple(kind(value) for value in getattr(found, name) or ()) for name, kind in _LISTS.items()}
    values["lite"] = _mixture(found.lite, LiteMixture)
    return TrainConfig(**values), {"resume": found.resume, "print_config": found.show_config}


def _check_configs(arguments: Sequence[str]) -> None:
    """Refuse files of settings that have no end, before they are read; a file that is absent the parser refuses."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        path = Path(value if equals else following)
        if name in _CONFIGS and path.exists():
            check_readable(path)


def _check_budget(found: Any, arguments: Sequence[str]) -> None:
    """Zero stands for what is not given; who gives it means something else."""
    for name in ("minutes", "steps"):
        if any(argument.partition("=")[0] == f"--{name}" for argument in arguments) and not getattr(found, name) > 0:
            raise UsageError(f"--{name} {getattr(found, name):g} is not greater than zero; give a larger number.")


def _check(config: TrainConfig) -> None:
    named = [(config.start_from, "weights"), (config.split, "split"), *((path, "data") for path in config.data)]
    named += [(config.text_encoder, "text encoder"), (config.text_file, "file of texts")]
    for path, kind in named:
        if path is None:
            continue
        if not path.exists():
            raise UsageError(f"There is no {kind} '{path}'; check the path.")
        check_readable(path)


def _shown(config: TrainConfig) -> dict[str, Any]:
    """Every setting, filled in as far as it can be before the network is built."""
    from inference_core.training.data.layouts import read_data_set
    from inference_core.training.presets import resolved
    from inference_core.training.recipe import plan_of
    from inference_core.training.registry import recipe_entry
    from inference_core.training.run_folder import plain

    plan = plan_of(recipe_entry(config.model))
    count = sum(len(read_data_set(path).cases) for path in config.data)
    return plain(resolved(config, plan, cases=round(count * (1 - config.validation_share))))


def _parse(parser: Any, arguments: list[str]) -> Any:
    from jsonargparse import ArgumentError

    try:
        return parser.parse_args(arguments)
    except (ArgumentError, TypeError, ValueError, OSError) as error:
        lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
        raise UsageError(f"{' '.join(lines[:2]).rstrip('.:')}; see `sam3dsegment train --help`.") from error


def _with_underscores(argument: str) -> str:
    """Options may be written with hyphens, as everywhere else, or with the underscores of the settings' names."""
    name, equals, value = argument.partition("=")
    if not re.match(r"--[a-z]", name):
        return argument
    if name == "--print-config":
        return "--show-config"
    return "--" + name[2:].replace("-", "_") + equals + value


def _mixture(found: Any, kind: Any) -> Any:
    from inference_core.training.interaction import Habits

    values = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(found).items()}
    if not isinstance(values["habits"], Habits):
        values["habits"] = Habits(**vars(values["habits"]))
    return kind(**values)


def _help_of(name: str) -> str:
    from inference_core.training.config import TrainConfig

    line = next(line for line in (TrainConfig.__doc__ or "").splitlines() if line.strip().startswith(f"{name}:"))
    return line.partition(":")[2].strip()


def _formatter() -> Any:
    from jsonargparse import DefaultHelpFormatter

    class Raw(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """Examples keep their lines; options are shown with hyphens, as they are written everywhere else."""

        def _format_action_invocation(self, action: argparse.Action) -> str:
            return super()._format_action_invocation(action).replace("_", "-")

    return Raw
