"""`evaluate`: how good a model's masks are after each click of a simulated user."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli import evaluate_table
from inference_core.cli.loading import find_model, load, model_files
from inference_core.cli.parsing import Once, UsageError, add_json_option, add_model_options, count, positive, text_file
from inference_core.cli.reporting import Progress, check_inputs_are_kept, check_outputs, json_text, say, staged
from inference_core.cli.sharding import Share
from inference_core.errors import SAM3DError

if TYPE_CHECKING:
    from inference_core.evaluation.protocol import FirstClick, Segment
    from inference_core.evaluation.report import Case
    from inference_core.evaluation.starts import Start
    from inference_core.geometry.volume import Volume

NAME = "evaluate"
SUMMARY = "measure accuracy on labeled images"
DESCRIPTION = """Click as a simulated user on labeled images (first the deepest voxel of the target,
then the deepest of the largest error) and report Dice and surface Dice (NSD) after each click.
Images and label maps are paired in sorted order. With --table: the rows and columns of a paper's table for a run, a
file or a folder of both (`--weights`), on a data set that `data prepare` made, beside the published numbers."""
EXAMPLES = """examples:
  sam3dsegment evaluate --images 'data/*_image.nii.gz' --labels 'data/*_label.nii.gz' --clicks 5 --json results.json
  sam3dsegment evaluate --images liver/dicom --labels liver/label.nii.gz --label 3 --clicks 5 --peers --plot dice.png
  sam3dsegment evaluate --table btcv --data prepared/btcv --weights runs --base sam_vit_h_4b8939.pth --csv btcv.csv
"""

Method = tuple[str, Callable[["Volume"], "Segment"], bool]
"""A name, what makes a way to segment from a volume, and whether it understands more than clicks."""
Beginning = tuple["Start | None", "FirstClick"]
"""What is given before the clicks, if anything, and what chooses the first click where nothing is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--images", metavar="GLOB", help="image files or DICOM folders; quote it")
    parser.add_argument("--labels", metavar="GLOB", help="their label maps, as many; quote it")
    parser.add_argument("--label", type=int, metavar="VALUE", help="the target's value (default any but 0)")
    parser.add_argument("--clicks", type=count, default=5, metavar="N", help="how many clicks (default 5)")
    parser.add_argument(
        "--box", nargs="?", type=_margin, const=0.1, metavar="MARGIN",
        help="give the target's box before the clicks, each edge longer by this share on either side (default 0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--start", choices=("line", "scribble", "lasso", "mask"),
        help="give one of these before the clicks: a line across the longest axial diameter, a scribble along the "
        "middle of the largest axial slice, its outline, or a mask of the target with a fault: leaked, shrunk, "
        "shifted, cut, spilled, hollow, with a piece elsewhere, or coarse, in turn with --seeds",
    )  # fmt: skip
    parser.add_argument(
        "--first", choices=("deepest", "anywhere", "border"), default="deepest",
        help="where the first click is: in the target's deepest voxel (default), anywhere in it, or near its border",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=count, default=1, metavar="N", help="how many such first clicks, or masks with faults, to try"
    )
    parser.add_argument(
        "--orders", type=count, default=0, metavar="N",
        help="answer each case's prompts in N other orders too, and report Dice between the answers",
    )  # fmt: skip
    parser.add_argument("--tolerance", type=positive, default=2.0, metavar="MM", help="of the NSD (default 2 mm)")
    parser.add_argument("--peers", action="store_true", help="run region growing and GrowCut under the same rules")
    add_model_options(parser)
    parser.add_argument("--plot", type=text_file, metavar="FILE.png", help="draw Dice against clicks")
    parser.add_argument(
        "--report", type=text_file, action=Once, metavar="FILE.html",
        help="one page: figures, curves, every case, pictures of the worst",
    )  # fmt: skip
    add_json_option(parser)
    evaluate_table.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Evaluate, write the plot and the JSON file, and print the means.

    Raises:
        SAM3DError: something given cannot be used, or some cases failed; what the others gave is written then.
    """
    if options.table is not None:
        evaluate_table.run(options)
        return
    _check_images(options)
    from inference_core.evaluation.cases import matched_pairs
    from inference_core.evaluation.report import as_json

    outputs = (options.json, options.plot, options.report)
    check_outputs(*outputs)
    beginnings = _beginnings(options)
    spec, weights = find_model(options.model, options.weights)
    pairs = matched_pairs(options.images, options.labels)
    check_inputs_are_kept(outputs, [*(path for pair in pairs for path in pair), *model_files(options)])
    _check_libraries(plot=options.plot is not None or options.report is not None)
    model = load(spec, weights, options)
    methods = _methods(model, peers=options.peers)
    done: dict[str, list[Case]] = {name: [] for name, _, _ in methods}
    failed: list[dict[str, str]] = []
    share = Share.of_environment()
    mine = share.of(pairs)
    for number, (image, labels) in enumerate(mine, start=1):
        where = f"[{number}/{len(mine)}] {image}"
        try:
            _evaluate(image, labels, methods, beginnings=beginnings, done=done, options=options, where=where)
        except SAM3DError as error:
            say(f"{where}: failed. {error}")
            failed.append({"image": str(image), "label": str(labels), "error": str(error)})
    everything = share.gathered((done, failed))
    if everything is None:
        return
    done, failed = _joined(everything)
    content = {"model": spec.name, "device": model.device, **as_json(done[spec.name])}
    peers = {name: as_json(cases) for name, cases in done.items() if name != spec.name}
    content |= ({"peers": peers} if peers else {}) | ({"failed": failed} if failed else {})
    with staged(options.json, json_text(content)):
        _write(options, done, title=spec.title)
    print(_summary(done, tolerance=options.tolerance))
    if failed:
        raise SAM3DError(f"{len(failed)} of {len(pairs)} cases could not be evaluated; see the lines above.")


def _check_images(options: argparse.Namespace) -> None:
    if options.images is None or options.labels is None:
        raise UsageError("Give --images and --labels, or a --table; see `sam3dsegment evaluate --help`.")
    if options.data is not None or options.csv is not None:
        raise UsageError("--data and --csv are for a --table; leave them out, or name the table.")


def _joined(
    parts: Sequence[tuple[dict[str, list[Case]], list[dict[str, str]]]],
) -> tuple[dict[str, list[Case]], list[dict[str, str]]]:
    """What all processes found, the cases by name, so that their order does not depend on how many there were."""
    names = parts[0][0]
    done = {name: [case for found, _ in parts for case in found[name]] for name in names}
    if len(parts) > 1:
        done = {name: sorted(cases, key=lambda case: case.image) for name, cases in done.items()}
    return done, [failure for _, failures in parts for failure in failures]


def _margin(text: str) -> float:
    return 0.0 if text == "0" else positive(text)


def _beginnings(options: argparse.Namespace) -> list[Beginning]:
    """How a case begins; one beginning for each seed.

    Raises:
        UsageError: what is asked for does not go together.
    """
    from inference_core.evaluation.starts import STROKES, boxed, from_faulty_mask
    from inference_core.prompts.simulation import deepest_voxel

    if options.start is not None or options.box is not None:
        if options.first != "deepest" or (options.start is not None and options.box is not None):
            raise UsageError("A case begins with one thing: give one of --box, --start and --first.")
        if options.start == "mask":
            return [(from_faulty_mask(seed), deepest_voxel) for seed in range(options.seeds)]
        if options.seeds == 1:
            return [(boxed(options.box) if options.start is None else STROKES[options.start], deepest_voxel)]
    return [(None, first) for first in _first_clicks(options)]


def _first_clicks(options: argparse.Namespace) -> list[FirstClick]:
    """What chooses the first click's voxel; one for each seed.

    Raises:
        UsageError: several seeds are asked for where there is one beginning.
    """
    from inference_core.prompts.simulation import deepest_voxel, voxel_anywhere, voxel_near_the_border

    if options.first == "deepest":
        if options.seeds > 1:
            raise UsageError(
                "There is one deepest voxel, box or stroke; leave out --seeds, or choose --first anywhere, --first "
                "border or --start mask."
            )
        return [deepest_voxel]
    choose = voxel_anywhere if options.first == "anywhere" else voxel_near_the_border
    return [partial(choose, seed=seed) for seed in range(options.seeds)]


def _check_libraries(*, plot: bool) -> None:
    """Refuse before the work what would be missing after it."""
    from inference_core.evaluation.extras import optional

    for module in ("scipy", "monai.metrics", *(("matplotlib.figure",) if plot else ())):
        optional(module)


def _methods(model: Any, *, peers: bool) -> list[Method]:
    from inference_core.evaluation import peers as peer_methods
    from inference_core.evaluation.protocol import peer_segment, session_segment

    methods: list[Method] = [(model.spec.name, partial(session_segment, model=model), True)]
    known = (peer_methods.confidence_connected, peer_methods.grow_from_seeds) if peers else ()
    return methods + [(method.__name__, partial(peer_segment, method=method), False) for method in known]


def _evaluate(
    image: Path,
    labels: Path,
    methods: Sequence[Method],
    *,
    beginnings: Sequence[Beginning],
    done: dict[str, list[Case]],
    options: argparse.Namespace,
    where: str,
) -> None:
    from inference_core.evaluation.cases import read_case
    from inference_core.evaluation.protocol import run_case
    from inference_core.evaluation.report import Case, curve_line

    with Progress(held=True) as progress:  # elsewhere than on a terminal, the line of the finished case is enough
        progress.show(f"{where}: reading")
        volume, target = read_case(image, labels, label=options.label)
        results = []
        rules = {"clicks": options.clicks, "tolerance_mm": options.tolerance, "orders": options.orders}
        for name, segment_of, takes_start in methods:
            progress.show(f"{where}: {name}")
            segment = segment_of(volume)
            for start, first in beginnings:
                begun = start if takes_start else None
                results.append((name, run_case(segment, target, volume.grid, start=begun, first=first, **rules)))
    for name, result in results:
        done[name].append(Case(str(image), str(labels), result))
        seconds = sum(score.seconds for score in result.scores)
        before = "" if result.start is None else f"{result.start.dice:.2f}, then "
        say(f"{where}: {name} Dice {before}{curve_line([score.dice for score in result.scores])} ({seconds:.1f} s)")


def _write(options: argparse.Namespace, done: dict[str, list[Case]], *, title: str) -> None:
    from inference_core.evaluation.pictures import plot_dice_against_clicks
    from inference_core.evaluation.report import dice_curves, means

    if options.plot is not None:
        peers = list(done.items())[1:]
        curves = dice_curves(next(iter(done.values()))) | {
            f"{name} (mean)": means(cases)["dice"] for name, cases in peers
        }
        plot_dice_against_clicks(options.plot, curves, title=title, show_mean=not peers)
    if options.report is not None and any(done.values()):
        from inference_core.evaluation.html_report import write_report

        command = " ".join(["sam3dsegment", *sys.argv[1:]])
        write_report(options.report, done, title=title, command=command, label=options.label)


def _summary(done: dict[str, list[Case]], *, tolerance: float) -> str:
    import numpy as np

    from inference_core.evaluation.report import curve_line, means, summary_of

    lines = []
    for name, cases in done.items():
        mean = means(cases)
        lines.append(f"{name}: mean of {len(cases)} cases after each click")
        lines.append(f"  Dice         {curve_line(mean['dice'])}")
        lines.append(f"  NSD ({tolerance:g} mm)   {curve_line(mean['nsd'])}")
        if cases:
            summary = summary_of(cases)
            last = summary.dice[-1]
            lines.append(f"  last Dice    {last.mean:.2f} ({last.low:.2f} to {last.high:.2f}, 95 % over patients)")
            lines.append(
                f"  clicks to 0.85: {summary.noc[0.85].mean:.1f}, where a case that never gets there "
                f"({summary.failed[0.85]:.0%}) counts all {len(summary.dice)}"
            )
            lines.append(f"  harmful      {summary.harmful} of {summary.further_clicks} further clicks")
            lines += _start_lines(cases)
        if orders := [value for case in cases for value in case.result.orders]:
            lines.append(f"  Dice between orders of the same prompts {np.mean(orders):.3f}, worst {min(orders):.3f}")
    return "\n".join(lines)


def _start_lines(cases: Sequence[Case]) -> list[str]:
    from inference_core.evaluation.report import start_of

    start = start_of(cases)
    if start is None:
        return []
    dice = start.dice
    return [
        f"  Dice before the clicks {dice.mean:.2f} ({dice.low:.2f} to {dice.high:.2f}), NSD {start.nsd.mean:.2f}",
        f"  the first click makes it worse in {start.worse} of {start.cases} cases, by more than 0.02 in "
        f"{start.harmed}, by {abs(start.worst_fall):.3f} at most",
    ]
