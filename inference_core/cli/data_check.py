"""`data check`: what would fail or mislead in training, and SAM-Med3D's cleaning, first reported, then applied."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.parsing import UsageError, add_json_option, count, positive
from inference_core.cli.reporting import Progress, check_outputs, say, table, write_json

if TYPE_CHECKING:
    from inference_core.training.data.cases import DataSet
    from inference_core.training.data.checks import Report
    from inference_core.training.data.cleaning import CleaningRules

_EXAMPLES = 3


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("data", type=Path, metavar="DIR", help="a data set of any layout, or a JSON list of its cases")
    parser.add_argument(
        "--write", type=Path, metavar="OUT", help="write the set cleaned, as nnU-Net raw, to a new folder"
    )
    parser.add_argument("--whole", action="append", default=[], metavar="CLASS", help="never split this class by side")
    parser.add_argument("--least-ml", type=positive, default=1.0, help="a smaller mask goes (default 1 ml)")
    parser.add_argument("--least-mm", type=positive, default=15.0, help="as does one shorter than this (default 15 mm)")
    parser.add_argument(
        "--most-background", type=positive, default=0.99999, help="as does one rarer than this (default 0.99999)"
    )
    parser.add_argument("--components", type=count, default=5, help="how many components stay (default 5)")
    parser.add_argument("--patients", metavar="PATTERN", help="a regular expression whose first group is the patient")
    add_json_option(parser)


def run_check(options: argparse.Namespace) -> None:
    """Check, print a table, and write what was asked for.

    Raises:
        SAM3DError: the data set or the output cannot be used.
    """
    from inference_core.training.data.checks import as_json, check
    from inference_core.training.data.cleaning import CleaningRules
    from inference_core.training.data.layouts import read_data_set

    check_outputs(options.json)
    rules = CleaningRules(1000 * options.least_ml, options.least_mm, options.most_background, options.components)
    data = read_data_set(options.data, patient_pattern=options.patients)
    unknown = next((name for name in options.whole if name not in data.classes.values()), None)
    if unknown is not None:
        raise UsageError(f"There is no class '{unknown}'; the data set has {', '.join(data.classes.values())}.")
    with Progress() as progress:
        report = check(data, rules=rules, whole=options.whole, notify=lambda *done: _show(progress, "checking", *done))
    if options.json is not None:
        write_json(options.json, as_json(report))
    patients = len({case.patient for case in data.cases})
    print(f"{len(data.cases)} cases of {patients} patients; classes: {', '.join(data.classes.values())}")
    print(_table(report))
    if options.write is not None:
        _write(options, data, report, rules)


def _table(report: Report) -> str:
    """A row a kind of finding, with examples."""
    from inference_core.training.data.checks import CLEANED, PROBLEMS

    rows = []
    for kind in (*PROBLEMS, *CLEANED):
        found = report.of(kind)
        if found:
            examples = "; ".join(one.detail for one in found[:_EXAMPLES])
            more = f"; and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
            rows.append((kind, "mended by --write" if kind in CLEANED else "", str(len(found)), examples + more))
    return table([("finding", "", "count", "where"), *rows]) if rows else "nothing was found"


def _write(options: argparse.Namespace, data: DataSet, report: Report, rules: CleaningRules) -> None:
    from inference_core.training.data.clean import write_cleaned

    with Progress() as progress:
        left_out = write_cleaned(
            data, report, options.write, rules=rules, notify=lambda *done: _show(progress, "writing", *done)
        )
    for reason in left_out.values():
        say(f"Left out: {reason}.")
    print(f"written  {options.write}: {len(data.cases) - len(left_out)} cases, {len(left_out)} left out")


def _show(progress: Progress, doing: str, number: int, of: int, name: str) -> None:
    progress.show(f"{doing} {number + 1} of {of}: {name}", stage=doing)
