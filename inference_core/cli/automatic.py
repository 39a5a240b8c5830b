"""`segment` without prompts: a model that finds its classes by itself, each of which becomes a segment."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from inference_core.cli.exports import exports_of
from inference_core.cli.loading import load
from inference_core.cli.parsing import UsageError
from inference_core.cli.reporting import Progress, table
from inference_core.models.spec import Layout, ModelSpec

if TYPE_CHECKING:
    from inference_core.engine.automatic import Labeled
    from inference_core.geometry.volume import Volume
    from inference_core.models.interface import Model


@dataclass(frozen=True, eq=False)
class Answer:
    """What `segment` found: what there is to report and to print, what writes it, and notes on it."""

    report: dict[str, Any]
    summary: str
    write: Callable[[], None]
    notes: tuple[str, ...] = ()


_FOR_PROMPTS = ("given", "prompts", "start_from", "save_prompts", "threshold")


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    """Add --quick and --slices, for models that see stacks of slices."""
    parser.add_argument(
        "--quick", action="store_true", help="see each slice in one stack of slices, not in all that hold it (MA-SAM)"
    )
    parser.add_argument(
        "--slices", nargs=2, type=int, metavar=("FIRST", "LAST"),
        help="look for the classes in these slices only, counted from 0 (models that need no prompt)",
    )  # fmt: skip


def check_stack_options(options: argparse.Namespace, spec: ModelSpec) -> None:
    """Refuse options that mean nothing to a model.

    Raises:
        UsageError: prompts, or a way of cutting a mask, for a model that finds its classes by itself; or slices or the
            quick mode for one that they mean nothing to.
    """
    if spec.automatic:
        if any(getattr(options, name) not in (None, []) for name in _FOR_PROMPTS):
            raise UsageError(f"{spec.title} finds its classes by itself; leave out prompts and the threshold.")
        if exports_of(options) or options.report:
            raise UsageError(
                f"{spec.title} finds many classes, and reports and DICOM exports are of one; write a .seg.nrrd."
            )
        if options.measure:
            raise UsageError(f"{spec.title} finds many classes; leave out --measure and use the command measure after.")
    elif options.slices is not None:
        raise UsageError(f"{spec.title} looks where its prompts are; leave out --slices.")
    if options.quick and not (spec.window.layout is Layout.SLICES and spec.window.shape[2] > 1):
        raise UsageError(f"{spec.title} sees no stacks of slices, of which it could leave some out; leave out --quick.")


def segment_unprompted(
    options: argparse.Namespace, spec: ModelSpec, weights: Path, *, volume: Volume, progress: Progress
) -> Answer:
    """Find a model's classes in a volume.

    Raises:
        SAM3DError: something given cannot be used; nothing has been written then.
    """
    from inference_core.engine.automatic import segment_automatically
    from inference_core.io.files import write_labels

    started = perf_counter()
    progress.show(f"loading {spec.title}")
    model = load(spec, weights, options)
    loaded = perf_counter() - started
    slices = None if options.slices is None else (options.slices[0], options.slices[1])
    found = segment_automatically(volume, model, quick=options.quick, slices=slices, notify=progress.notify)
    report = _report(found, volume, model, seconds={"load": loaded, "classify": found.seconds})
    nothing = not any(part["voxels"] for part in report["classes"])
    notes = ("Nothing was found; the model may be meant for other images.",) if nothing else ()
    write = partial(write_labels, options.output, found.labels.array, volume.grid, names=found.classes)
    return Answer(report, _summary(spec, report), write, notes)


def _report(found: Labeled, volume: Volume, model: Model, *, seconds: dict[str, float]) -> dict[str, Any]:
    ml = volume.grid.voxel_volume_mm3 / 1000
    return {
        "series": volume.name,
        "model": model.spec.name,
        "device": model.device,
        "seconds": seconds,
        "slices": list(found.slices),
        "stacks": found.stacks,
        "classes": [
            {"label": n + 1, "name": name, "voxels": voxels, "volume_ml": voxels * ml}
            for n, (name, voxels) in enumerate(found.voxels_of().items())
        ],
    }


def _summary(spec: ModelSpec, report: dict[str, Any]) -> str:
    rows = [("label", "class", "volume ml")]
    rows += [(str(part["label"]), part["name"], f"{part['volume_ml']:.2f}") for part in report["classes"]]
    first, last = report["slices"]
    lines = [
        f"{report['series']}: {spec.title} on {report['device']}",
        table(rows),
        f"slices   {first} to {last}, seen in {report['stacks']} stacks",
    ]
    return "\n".join(lines)
