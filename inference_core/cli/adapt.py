"""`adapt`: tune the default model to masks that were accepted, and say whether that made it better."""

from __future__ import annotations

import argparse
from pathlib import Path

from inference_core.cli.parsing import UsageError, positive
from inference_core.cli.reporting import say

NAME = "adapt"
SUMMARY = "tune the default model to masks that you have accepted"
DESCRIPTION = (
    "Tune SAM3D lite's norm layers and first stage to a folder of accepted masks, in minutes on a CPU. Some of them "
    "are kept back; the new weights are offered only where they answer those better and the shipped phantom as well."
)
EXAMPLES = """examples:
  sam3dsegment segment ct.nii.gz --click 12 -40 88 --output mask.nii.gz --accept my_lesions
  sam3dsegment adapt my_lesions --output adapted --minutes 5
  sam3dsegment segment ct.nii.gz --click 12 -40 88 --output mask.nii.gz --weights adapted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("cases", type=Path, metavar="CASES", help="the folder of accepted cases, three at least")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="a new folder for the result")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="weights to adapt (default: the shipped ones)")
    parser.add_argument("--minutes", type=positive, default=5.0, help="how long to train (default 5)")


def run(options: argparse.Namespace) -> None:
    """Adapt, and say what came of it.

    Raises:
        SAM3DError: something given cannot be used; nothing has been trained then.
    """
    if not options.cases.is_dir():
        raise UsageError(f"There is no folder of accepted cases '{options.cases}'; check the path.")
    from inference_core.models.registry import DEFAULT_MODEL, get_spec
    from inference_core.models.store import require_installed
    from inference_core.training.adapt import adapt

    start = options.start_from or require_installed(get_spec(DEFAULT_MODEL))
    if not start.exists():
        raise UsageError(f"There are no weights '{start}'; check the path.")
    verdict = adapt(options.cases, options.output, start_from=start, minutes=options.minutes)
    say(verdict.sentence())
    if verdict.better:
        say(f"Use it with --weights {options.output}.")
