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

FRAMES = ("ras", "lps", "ijk")


@dataclass(frozen=True)
class PromptArgument:
    """One prompt's option and its numbers: three of a click, or a box's center and its size."""

    option: str
    numbers: tuple[float, ...]


class _Append(argparse.Action):
    """Appends to one list that several options share, so that their order is kept."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        earlier: list[PromptArgument] = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*earlier, PromptArgument(str(option), tuple(values))])


def add_prompt_options(parser: argparse.ArgumentParser, *, boxes: bool = True) -> None:
    """Add --click, --negative-click, --box and --frame; `given` becomes the list of prompts."""
    point = {"nargs": 3, "type": finite, "metavar": ("R", "A", "S"), "action": _Append, "dest": "given", "default": []}
    parser.add_argument("--click", help="a point on the target; may be repeated", **point)  # type: ignore[arg-type]
    parser.add_argument("--negative-click", help="a point beside the target; may be repeated", **point)  # type: ignore[arg-type]
    if boxes:
        parser.add_argument(
            "--box", nargs=6, type=finite, metavar=("R", "A", "S", "SR", "SA", "SS"), action=_Append, dest="given",
            default=[], help="a box around the target: its center and its edge lengths along the axes of the frame",
        )  # fmt: skip
    parser.add_argument(
        "--frame", choices=FRAMES, default="ras",
        help="what the coordinates are: patient mm, as Slicer (ras) or as DICOM and ITK (lps) count them, or voxels "
        "counted from 0, a box's size too (ijk); default ras",
    )  # fmt: skip


def check_prompt_arguments(given: Sequence[PromptArgument]) -> None:
    """Refuse, before any volume is read, a box that no frame can make sense of.

    Raises:
        PromptError: a box is empty or inverted.
    """
    from inference_core.geometry.box import Box3D

    for prompt in given:
        if prompt.option == "--box":
            Box3D.aligned(prompt.numbers[:3], prompt.numbers[3:])


def in_ras(given: Sequence[PromptArgument], frame: str, grid: Grid) -> tuple[Prompt, ...]:
    """The prompts in RAS mm; in the frame "ijk" a box lies along the grid's axes.

    Raises:
        PromptError: a box is empty or inverted.
    """
    return tuple(_prompt(prompt, frame, grid) for prompt in given)


def _prompt(given: PromptArgument, frame: str, grid: Grid) -> Prompt:
    from inference_core.prompts.prompt_set import BoxPrompt, Click

    if given.option == "--box":
        return BoxPrompt(_box(given, frame, grid))
    r, a, s = _place(given, frame, grid)
    return Click((r, a, s), given.option == "--click")


def _box(given: PromptArgument, frame: str, grid: Grid) -> Box3D:
    from inference_core.geometry.box import Box3D

    if frame == "ijk":
        return Box3D.in_voxels(grid, center_ijk=given.numbers[:3], size_ijk=given.numbers[3:])
    return Box3D.aligned(_place(given, frame, grid), given.numbers[3:])


def _place(given: PromptArgument, frame: str, grid: Grid) -> tuple[float, ...]:
    x, y, z = given.numbers[:3]
    if frame == "ijk":
        return tuple(float(value) for value in grid.to_ras((x, y, z)))
    return (-x, -y, z) if frame == "lps" else (x, y, z)
