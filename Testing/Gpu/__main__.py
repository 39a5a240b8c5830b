"""`python -m Gpu`: pack what a graphics card is to work on, run everything there, and join what comes home.

python -m Gpu pack SARCOMA GLIOBLASTOMA HEADNECK PACKED --shares 0.55 0.2 0.25 --run RUN
python -m Gpu run --packed PACKED --out OUT        (on the machine with the card; `make gpu` does the same)
python -m Gpu join OUT RUN                         (RUN can be packed again, and be given to --weights)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference_core.errors import SAM3DError


def main() -> int:
    options = _parser().parse_args()
    try:
        return int(options.do(options) or 0)
    except SAM3DError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    from Gpu.packing import SPLIT

    parser = argparse.ArgumentParser(
        prog="Gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    pack = commands.add_parser("pack", help="data and the newest state in 60 MB")
    pack.add_argument("folders", type=Path, nargs="+", metavar="SET", help="folders of labeled cases")
    pack.add_argument("output", type=Path, metavar="PACKED")
    pack.add_argument("--shares", type=float, nargs="+", default=[], help="how often each set is drawn from")
    pack.add_argument(
        "--split", type=Path, default=SPLIT, help="who is trained on (default that of the shipped weights)"
    )
    pack.add_argument("--run", type=Path, help="a training run to go on with (default: the shipped weights)")
    pack.add_argument("--megabytes", type=float, default=60.0, help="of everything packed (default 60)")
    pack.set_defaults(do=_pack)
    run = commands.add_parser("run", help="tests, speed, training; at most nine minutes")
    run.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    run.add_argument("--steps", type=int, default=0, help="a rehearsal: so many steps of training, light models alone")
    run.add_argument("--packed", type=Path, help="what `pack` made; without it training sees procedural volumes alone")
    run.add_argument("--out", type=Path, default=Path("gpu_output"))
    run.add_argument("--models", nargs="+", default=[], help="the models to measure (default: one of every family)")
    run.set_defaults(do=_run)
    measure = commands.add_parser("measure", help="one model's speed and memory")
    measure.add_argument("model")
    measure.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    measure.set_defaults(do=_measure)
    teach = commands.add_parser("teach", help="the training alone")
    teach.add_argument("run", type=Path)
    teach.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    teach.add_argument("--packed", type=Path)
    teach.add_argument("--minutes", type=float, default=6.0)
    teach.add_argument("--steps", type=int, default=0)
    teach.set_defaults(do=_teach)
    join = commands.add_parser("join", help="a run's folder of what came home")
    join.add_argument("out", type=Path)
    join.add_argument("run", type=Path)
    join.set_defaults(do=_join)
    return parser


def _pack(options: argparse.Namespace) -> None:
    from Gpu.packing import MEGABYTE, pack

    found = pack(
        options.folders,
        options.output,
        shares=options.shares,
        split=options.split,
        budget_bytes=round(options.megabytes * MEGABYTE),
        run=options.run,
    )
    for name, split in found.items():
        print(f"{name}: {len(split.train)} cases to train on, {len(split.validation)} kept back")


def _run(options: argparse.Namespace) -> int:
    from Gpu.running import failed, run_everything

    figures = run_everything(
        options.out, device=options.device, packed=options.packed, steps=options.steps, models=options.models
    )
    wrong = failed(figures)
    print(f"Written to '{options.out}'. " + (f"These parts failed: {', '.join(wrong)}." if wrong else "All parts ran."))
    return int(bool(wrong))


def _measure(options: argparse.Namespace) -> int:
    from Gpu.measuring import measured
    from Gpu.running import say

    found = measured(options.model, options.device)
    say(found)
    return int(any("error" in costs for costs in found.values()))


def _teach(options: argparse.Namespace) -> None:
    from Gpu.teaching import teach
    from inference_core.cli.training_progress import reporter_for

    teach(
        options.packed, options.run, device=options.device, minutes=options.minutes, steps=options.steps,
        reporter=reporter_for(sys.stderr),
    )  # fmt: skip


def _join(options: argparse.Namespace) -> None:
    from Gpu.teaching import joined

    print(f"Written to '{joined(options.out, options.run)}'.")


if __name__ == "__main__":
    sys.exit(main())
