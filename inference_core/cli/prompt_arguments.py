"""Prompts as given on the command line: in the order given, in the frame given, and then in RAS mm."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference_core.cli.parsing import finite

if TYPE_CHECKING:
    from inference_core.geometry.box import Box3D
    from inference_core.geometry.grid import Grid
    from inference_core.prompts.prompt_set import Prompt
    from inference_core.prompts.strokes import Stroke

FRAMES = ("ras", "lps", "ijk")
_NEGATIVE = "--negative-"
_LEAST_NUMBERS = {"--scribble": 3, "--negative-scribble": 3, "--lasso": 9, "--negative-lasso": 9}


@dataclass(frozen=True)
class PromptArgument:
    """One prompt's option and its numbers: a click's place, a box's center and its size, or the points of a stroke.

    A text has none.
    """

    option: str
    numbers: tuple[float, ...]
    text: str = ""


class _Append(argparse.Action):
    """Appends to one list that several options share, so that their order is kept."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        earlier: list[PromptArgument] = getattr(namespace, self.dest) or []
        if option == "--text":
            setattr(namespace, self.dest, [*earlier, PromptArgument(option, (), values)])
            return
        if option in _LEAST_NUMBERS and (len(values) % 3 or len(values) < _LEAST_NUMBERS[option]):
            least = _LEAST_NUMBERS[option] // 3
            raise argparse.ArgumentError(
                self, f"takes three coordinates for each of its points, {least} points at least"
            )
        setattr(namespace, self.dest, [*earlier, PromptArgument(str(option), tuple(values))])


def add_prompt_options(parser: argparse.ArgumentParser, *, boxes: bool = True) -> None:
    """Add an option for each kind of prompt, and --frame; `given` becomes the list of prompts."""
    point = {"nargs": 3, "type": finite, "metavar": ("R", "A", "S"), "action": _Append, "dest": "given", "default": []}
    parser.add_argument("--click", help="a point on the target; may be repeated", **point)  # type: ignore[arg-type]
    parser.add_argument("--negative-click", help="a point beside the target; may be repeated", **point)  # type: ignore[arg-type]
    if boxes:
        parser.add_argument(
            "--box", nargs=6, type=finite, metavar=("R", "A", "S", "SR", "SA", "SS"), action=_Append, dest="given",
            default=[], help="a box around the target: its center and its edge lengths along the axes of the frame",
        )  # fmt: skip
        _add_strokes(parser)
        parser.add_argument(
            "--text", action=_Append, dest="given", default=[], metavar="WORDS",
            help="what the target is called, as 'the left kidney', for weights that learned texts (--text-encoder)",
        )  # fmt: skip
    parser.add_argument(
        "--frame", choices=FRAMES, default="ras",
        help="what the coordinates are: patient mm, as Slicer (ras) or as DICOM and ITK (lps) count them, or voxels "
        "counted from 0, a box's size too (ijk); default ras",
    )  # fmt: skip


def _add_strokes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--line", nargs=6, type=finite, metavar=("R1", "A1", "S1", "R2", "A2", "S2"), action=_Append, dest="given",
        default=[], help="a line across the target's longest diameter, from end to end",
    )  # fmt: skip
    for option, what in (
        ("--scribble", "the points of a stroke through the target"),
        ("--negative-scribble", "those of a stroke beside it"),
        ("--lasso", "the points of an outline of the target in one slice, which closes by itself"),
        ("--negative-lasso", "those of an outline of what is not the target"),
    ):
        parser.add_argument(
            option, nargs="+", type=finite, metavar="N", action=_Append, dest="given", default=[], help=what
        )


def check_prompt_arguments(given: Sequence[PromptArgument]) -> None:
    """Refuse, before any volume is read, a prompt that no frame can make sense of.

    Raises:
        PromptError: a box is empty or inverted, a line has no length, a lasso no area, or a text no letters.
    """
    from inference_core.geometry.box import Box3D
    from inference_core.prompts.text import TextPrompt

    for prompt in given:
        if prompt.option == "--text":
            TextPrompt(prompt.text)
        elif prompt.option == "--box":
            Box3D.aligned(prompt.numbers[:3], prompt.numbers[3:])
        elif len(prompt.numbers) > 3 or prompt.option in _LEAST_NUMBERS:
            _stroke(prompt.option, [prompt.numbers[n : n + 3] for n in range(0, len(prompt.numbers), 3)])


def in_ras(given: Sequence[PromptArgument], frame: str, grid: Grid) -> tuple[Prompt, ...]:
    """The prompts in RAS mm; in the frame "ijk" a box lies along the grid's axes.

    Raises:
        PromptError: a box is empty or inverted, a line has no length, or a lasso no area.
    """
    return tuple(_prompt(prompt, frame, grid) for prompt in given)


def _prompt(given: PromptArgument, frame: str, grid: Grid) -> Prompt:
    from inference_core.prompts.prompt_set import BoxPrompt, Click
    from inference_core.prompts.text import TextPrompt

    if given.option == "--text":
        return TextPrompt(given.text)
    if given.option == "--box":
        return BoxPrompt(_box(given, frame, grid))
    places = [_place(given.numbers[n : n + 3], frame, grid) for n in range(0, len(given.numbers), 3)]
    if given.option in ("--click", "--negative-click"):
        return Click(places[0], given.option == "--click")
    return _stroke(given.option, places)


def _stroke(option: str, places: Sequence[tuple[float, ...]]) -> Stroke:
    from inference_core.prompts.strokes import Lasso, Line, Scribble

    points = tuple((r, a, s) for r, a, s in places)
    if option == "--line":
        return Line(points[0], points[1])
    kind = Lasso if option.endswith("lasso") else Scribble
    return kind(points, not option.startswith(_NEGATIVE))


def _box(given: PromptArgument, frame: str, grid: Grid) -> Box3D:
    from inference_core.geometry.box import Box3D

    if frame == "ijk":
        return Box3D.in_voxels(grid, center_ijk=given.numbers[:3], size_ijk=given.numbers[3:])
    return Box3D.aligned(_place(given.numbers[:3], frame, grid), given.numbers[3:])


def _place(numbers: Sequence[float], frame: str, grid: Grid) -> tuple[float, float, float]:
    x, y, z = numbers
    if frame == "ijk":
        r, a, s = grid.to_ras((x, y, z))
        return float(r), float(a), float(s)
    return (-x, -y, z) if frame == "lps" else (x, y, z)
