"""`data`: published data sets prepared for training, and any data set checked and cleaned before it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.data_check import add_check_arguments, run_check
from inference_core.cli.parsing import add_debug, add_json_option
from inference_core.cli.reporting import Progress, check_outputs, say, table, write_json

if TYPE_CHECKING:
    from inference_core.training.data.prepare import Prepared

NAME = "data"
SUMMARY = "prepare published data sets for training; check and clean any data set"
DESCRIPTION = "Prepare a published data set as nnU-Net raw, list the recipes for that, or check and clean a data set."
EXAMPLES = """examples:
  sam3dsegment data recipes
  sam3dsegment data prepare msd_pancreas Task07_Pancreas/ pancreas/ --paper ma_sam
  sam3dsegment data check pancreas/
  sam3dsegment data check pancreas/ --write cleaned/
"""
_PREPARE = """Write a published data set, unpacked as its publisher lays it out, as nnU-Net raw: imagesTr, labelsTr,
dataset.json with classes, window and spacing as in the paper, splits_final.json. Voxels stay as they are. Run again
after a stop, it goes on; it never overwrites what it did not write."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own commands."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    prepare = _command(commands, "prepare", "write a published data set as nnU-Net raw", _PREPARE)
    prepare.add_argument("recipe", metavar="RECIPE", help="a name that `data recipes` lists")
    prepare.add_argument("source", type=Path, metavar="SOURCE", help="the folder that the data set was unpacked to")
    prepare.add_argument("out", type=Path, metavar="OUT", help="a new folder, or that of an earlier run")
    prepare.add_argument("--paper", metavar="NAME", help="whose window, spacing and split (default the recipe's first)")
    prepare.add_argument("--seed", type=int, default=0, help="of a split that no list gives (default 0)")
    add_json_option(prepare)
    prepare.set_defaults(run_data=_run_prepare)
    check = _command(commands, "check", "check a data set, and clean it", "Check a data set before training on it.")
    add_check_arguments(check)
    check.set_defaults(run_data=run_check)
    recipes = _command(commands, "recipes", "list the recipes", "List the data sets that can be prepared.")
    recipes.set_defaults(run_data=_run_recipes)


def run(options: argparse.Namespace) -> None:
    """Run the command that was chosen.

    Raises:
        SAM3DError: something given cannot be used.
    """
    options.run_data(options)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_debug(parser)
    return parser


def _run_prepare(options: argparse.Namespace) -> None:
    from inference_core.cli.parsing import UsageError
    from inference_core.training.data.prepare import prepare
    from inference_core.training.data.recipes import get_recipe

    check_outputs(options.json)
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"The seed {options.seed} is not between 0 and {2**63 - 1}; choose another.")
    recipe = get_recipe(options.recipe)
    with Progress() as progress:
        done = prepare(
            recipe, options.source, options.out, paper=options.paper, seed=options.seed,
            notify=lambda n, count, name: progress.show(f"case {n + 1} of {count}: {name}", stage="cases"),
        )  # fmt: skip
    _report(done, options.out)
    if options.json is not None:
        content = {"recipe": recipe.name, "paper": done.paper, "cases": list(done.cases)}
        write_json(options.json, content | {"left_out": dict(done.left_out), "missing": list(done.missing)})


def _report(done: Prepared, out: Path) -> None:
    for reason in done.left_out.values():
        say(f"Left out: {reason}")
    if done.missing:
        say(f"Of the paper's list {len(done.missing)} cases are not in the source: {', '.join(done.missing[:5])} ...")
    if done.said:
        say(f"Note: {done.said}.")
    print(f"written  {out}: {len(done.cases)} cases, {len(done.left_out)} left out, as in {done.paper}")


def _run_recipes(options: argparse.Namespace) -> None:
    from inference_core.training.data.recipes import RECIPES

    rows = [(recipe.name, ", ".join(recipe.papers), recipe.title) for recipe in RECIPES.values()]
    print(table([("recipe", "papers", "data set"), *rows]))
