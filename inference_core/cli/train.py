"""`train`: make SAM3D lite's weights anew, from procedural volumes and, where given, labeled tumors and organs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from inference_core.cli.parsing import UsageError, count, positive
from inference_core.cli.reporting import check_outputs

NAME = "train"
SUMMARY = "train SAM3D lite"
DESCRIPTION = (
    "Train SAM3D lite within a budget of time or steps. Ctrl-C or SIGTERM keeps what was learnt; --resume goes on."
)
EXAMPLES = """examples:
  sam3dsegment train --minutes 600 --sarcoma data/sarcoma --output sam3d_lite.safetensors
  sam3dsegment train --minutes 60 --sarcoma data/sarcoma --output again.safetensors --start-from sam3d_lite.safetensors
  sam3dsegment train --minutes 600 --sarcoma data/sarcoma --output sam3d_lite.safetensors --resume

--sarcoma names a folder of STS_* patients with *_image.nii.gz and *_label.nii.gz; ten patients are always held out.
--lesions, --organs and --coarse-organs name folders of cases, each a folder with an image.* (or a DICOM series in
dicom) and a label.* in which every value is a target.
Beside OUT.safetensors, to be used with --weights, OUT.state.pt is written, to go on from with --resume. OUT.safetensors
is written only when it is better than what the run began with, measured on cases that are not trained on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=positive, help="how long to train, in all")
    budget.add_argument("--steps", type=count, help="how many steps to train, in all")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the weights: .safetensors")
    parser.add_argument("--sarcoma", type=Path, metavar="DIR", help="the labeled patients (default: procedural only)")
    parser.add_argument("--lesions", type=Path, metavar="DIR", help="other labeled lesions (default: none)")
    parser.add_argument("--organs", type=Path, metavar="DIR", help="labeled organs beside them (default: none)")
    parser.add_argument("--coarse-organs", type=Path, metavar="DIR", help="organs on coarse grids, seen less often")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="the .safetensors of an earlier run")
    parser.add_argument("--resume", action="store_true", help="go on with the run that wrote --output")
    parser.add_argument(
        "--quality-only",
        action="store_true",
        help="train only the estimate of a mask's IoU, by which scales are chosen",
    )
    parser.add_argument(
        "--bfloat16", action="store_true", help="compute in bfloat16: faster where the processor has AVX512-BF16 or AMX"
    )
    parser.add_argument("--learning-rate", type=positive, default=2e-3, help="at its highest (default 0.002)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (default 0)")


def run(options: argparse.Namespace) -> None:
    """Train, and say where the weights are.

    Raises:
        SAM3DError: something given cannot be used; nothing has been trained then.
    """
    check_outputs(options.output)
    if options.output.suffix != ".safetensors":
        raise UsageError(f"'{options.output}' is no weights file; let its name end in .safetensors.")
    for path, kind in (
        (options.sarcoma, "folder of patients"),
        (options.lesions, "folder of cases"),
        (options.organs, "folder of cases"),
        (options.coarse_organs, "folder of cases"),
        (options.start_from, "state of an earlier run"),
    ):
        if path is not None and not path.exists():
            raise UsageError(f"There is no {kind} '{path}'; check the path.")
    # A thread that waits by spinning takes the processor from the one it waits for: measured 3 times slower training
    # on two busy cores. It must be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"The seed {options.seed} is not between 0 and {2**63 - 1}; choose another.")
    from inference_core.training.config import TrainingConfig
    from inference_core.training.loop import Trainer

    config = TrainingConfig(
        minutes=options.minutes,
        steps=options.steps,
        output=options.output,
        sarcoma=options.sarcoma,
        lesions=options.lesions,
        organs=options.organs,
        coarse_organs=options.coarse_organs,
        resume=options.resume,
        start_from=options.start_from,
        quality_only=options.quality_only,
        bfloat16=options.bfloat16,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    better = Trainer(config).run()
    print(f"written  {options.output}" if better else "not better than what it began with: no weights were written")
