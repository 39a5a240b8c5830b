"""What `argparse` needs to speak as the rest of the package does, and options that several commands share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from inference_core.engine.device import DEVICES
from inference_core.errors import SAM3DError
from inference_core.models.registry import DEFAULT_MODEL
from inference_core.models.spec import PRECISIONS

_NO_TEXTS = (
    *(".nii", ".img", ".hdr", ".gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".raw", ".zraw", ".dcm", ".ima"),
    *(".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin", ".zip"),
)
_NEGATIVE_NUMBER = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)


class UsageError(SAM3DError):
    """The command line's arguments cannot be used."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are single sentences, raised as `UsageError`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        raise UsageError(f"{text[:1].upper()}{text[1:]}; see `{self.prog} --help`.")


def shielded(arguments: Sequence[str]) -> list[str]:
    """Arguments with a space before each negative number: argparse takes "-1e-3" and "-inf" for options otherwise.

    Raises:
        UsageError: one is empty, as an unset variable of a script makes it, or no text of the operating system's.
    """
    if any(not argument.strip() or "\0" in argument for argument in arguments):
        raise UsageError("An argument is empty; give each option a value, and leave out those without one.")
    return [f" {argument}" if _NEGATIVE_NUMBER.match(argument) else argument for argument in arguments]


def finite(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text.strip()}' is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text.strip()}' is not a finite number")
    return value


def positive(text: str) -> float:
    """A finite number above zero."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{value:g} is not greater than zero")
    return value


def count(text: str) -> int:
    """A whole number of at least one."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text.strip()}' is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than one")
    return value


def text_file(text: str) -> Path:
    """The name of a file of numbers, a page or a picture to write: none that images and weights have."""
    path = Path(text)
    if path.suffix.lower() in _NO_TEXTS:
        raise argparse.ArgumentTypeError(f"'{text}' is called as images or weights are; choose another name")
    return path


class Once(argparse.Action):
    """Takes a value a single time: of two files that are asked for, none is left unwritten without a word."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keep the value.

        Raises:
            ArgumentError: there is one already.
        """
        if getattr(namespace, self.dest, self.default) is not self.default:
            raise argparse.ArgumentError(self, "is given twice; give it once")
        setattr(namespace, self.dest, values)


def add_series_options(parser: argparse.ArgumentParser) -> None:
    """Add --series and --part."""
    parser.add_argument(
        "--series", metavar="UID", help="which series of the folder (default the largest; see `series`)"
    )
    parser.add_argument(
        "--part", type=count, metavar="N", help="which phase, echo or time point of the series (default the first)"
    )


def add_model_options(parser: argparse.ArgumentParser, *, default: str | None = DEFAULT_MODEL) -> None:
    """Add --model, --weights, --base, --text-encoder, --device and --precision."""
    parser.add_argument(
        "--model", default=default, metavar="NAME", help=f"a name that `models` lists (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights to use instead of the installed ones")
    parser.add_argument(
        "--base", type=Path, metavar="FILE", help="the SAM checkpoint under a model that holds only what it adapted"
    )
    parser.add_argument(
        "--text-encoder", type=Path, metavar="FOLDER", help="the CLIP that the weights have learned texts with"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (default auto)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto",
        help="of the encoders of the published models (default auto: bfloat16 on a GPU, else float32)",
    )  # fmt: skip


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add --debug, which every command has."""
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where in the program an error arose"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json FILE."""
    parser.add_argument("--json", type=text_file, metavar="FILE", help="write the results to a JSON file as well")
