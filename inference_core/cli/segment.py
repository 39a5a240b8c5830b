"""`segment`: clicks, boxes and strokes in, a mask on the image's own voxels out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from inference_core.cli.automatic import Answer, add_stack_options, check_stack_options, segment_unprompted
from inference_core.cli.exports import add_export_options, check_exports, is_dicom_seg, staged_exports, staged_pages
from inference_core.cli.loading import find_model, load, model_files
from inference_core.cli.measure import measurement_lines, unit_of
from inference_core.cli.parsing import (
    UsageError,
    add_json_option,
    add_model_options,
    add_series_options,
    finite,
    positive,
    text_file,
)
from inference_core.cli.prompt_arguments import add_prompt_options, check_prompt_arguments, in_ras
from inference_core.cli.reporting import Progress, check_inputs_are_kept, check_outputs, json_text, say, staged
from inference_core.cli.starting_mask import read_starting_mask
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.spec import Layout, ModelSpec
from inference_core.models.store import trained_model

if TYPE_CHECKING:
    from inference_core.engine.session import Prediction
    from inference_core.geometry.volume import Volume
    from inference_core.io.dicom import DicomSource
    from inference_core.io.prompts_json import PromptFile
    from inference_core.models.interface import Model
    from inference_core.prompts.prompt_set import PromptSet

NAME = "segment"
SUMMARY = "segment one target in an image, or all that a model knows"
DESCRIPTION = """Segment one target in a DICOM folder, NIfTI, NRRD or MetaImage file; prompts act in the order given.
A model that needs no prompt (ma_sam) finds all of its classes: labels 1, 2, ... or named segments."""
EXAMPLES = """examples:
  sam3dsegment segment ct_series/ --output tumor.seg.nrrd --click -81.5 12 -243
  sam3dsegment segment mr.nii.gz --output tumor.nii.gz --frame ijk --box 60 71 20 30 28 9 --negative-click 80 71 20
  sam3dsegment segment ct_series/ --output node.seg.nrrd --line -81 12 -243 -66 30 -243
  sam3dsegment segment ct_series/ --output again.nii.gz --prompts prompts.json
  sam3dsegment segment ct_series/ --output tumor.seg.dcm --report tumor.sr.dcm --rtstruct rt.dcm --click -81.5 12 -243
  sam3dsegment segment ct_series/ --output tumor.seg.nrrd --name tumor --report tumor.pdf --click -81.5 12 -243
  sam3dsegment segment ct_series/ --output organs.seg.nrrd --model ma_sam --weights MA_SAM.pth --base sam_vit_h.pth
  sam3dsegment segment ct_series/ --output kidney.seg.nrrd --weights run --text "the left kidney" --text-encoder clip/
"""


@dataclass(frozen=True)
class _Plan:
    """What was asked for, as far as it can be checked without reading the image."""

    spec: ModelSpec
    weights: Path
    saved: PromptFile
    threshold: float
    source: DicomSource | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="a DICOM folder or an image file")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="the mask: .seg.nrrd, .nrrd, .nii.gz, .nii or .seg.dcm",
    )
    add_prompt_options(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="saved prompts, which come before all others")
    parser.add_argument(
        "--start-from", type=Path, metavar="MASK",
        help="correct this mask: a DICOM SEG or RTSTRUCT of the series (the segment --name), or a label map",
    )  # fmt: skip
    parser.add_argument("--save-prompts", type=text_file, metavar="FILE", help="save the prompts for another time")
    add_series_options(parser)
    add_model_options(parser, default=None)
    parser.add_argument(
        "--threshold", type=finite, help="logit above which a voxel is in the mask (default 0): lower is larger"
    )
    parser.add_argument(
        "--name", default="segment", help="the segment's name, where the file has one (default segment)"
    )
    parser.add_argument(
        "--window", type=_window, default="adaptive", metavar="adaptive|official|MM",
        help="how far to look around clicks: adaptive tries several widths (default), a number of mm is the width; "
        "official: exactly as the model's own authors' script, for comparison with published numbers",
    )  # fmt: skip
    add_stack_options(parser)
    parser.add_argument(
        "--measure", action="store_true", help="add diameters and voxel statistics to the summary and the JSON file"
    )
    parser.add_argument(
        "--accept", type=Path, metavar="DIR", help="keep image, mask and prompts there to learn from (`adapt`)"
    )
    add_export_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Segment, write the mask and the other files, all or none of them, and print a summary.

    Raises:
        SAM3DError: something given cannot be used, or a file cannot be written; nothing has been written then.
    """
    from inference_core.geometry.values import volume_cautions

    started = perf_counter()
    plan = _checked(options)
    with Progress(held=True) as progress:
        progress.show(f"reading {options.input}")
        volume = _read(options)
        if plan.spec.automatic:
            answer = segment_unprompted(options, plan.spec, plan.weights, volume=volume, progress=progress)
        else:
            answer = _segment_prompted(options, plan, volume, progress)
        progress.show(f"writing {options.output}")
        seconds = answer.report["seconds"] | {"total": perf_counter() - started}
        files = {"input": str(options.input), "output": str(options.output)}
        with staged(options.json, json_text(files | answer.report | {"seconds": seconds})):
            answer.write()
    for note in (*answer.notes, *volume_cautions(volume)):
        say(note)
    spent = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    print(f"{answer.summary}\nseconds  {spent}\nwritten  {options.output}")


def _segment_prompted(options: argparse.Namespace, plan: _Plan, volume: Volume, progress: Progress) -> Answer:
    """The mask of one target, yet to be written."""
    started = perf_counter()
    prompts = plan.saved.prompts.with_(*in_ras(options.given, options.frame, volume.grid))
    if options.start_from is not None:
        prompts = replace(prompts, initial_mask=read_starting_mask(options.start_from, volume, name=options.name))
    prompts.checked_on(volume.grid, volume.name)
    progress.show(f"loading {plan.spec.title}")
    model = load(plan.spec, plan.weights, options)
    loaded = perf_counter() - started
    if options.window == "official":
        prediction = _predict_as_original(volume, model, prompts)
    else:
        prediction = _predict(options, plan, volume, model=model, prompts=prompts, progress=progress)
    seconds = {"load": loaded, "encode": prediction.seconds.encode, "decode": prediction.seconds.decode}
    report = _report(volume, model, prediction, seconds=seconds)
    if options.measure:
        report["measurements"] = _measured(options, plan, volume, prediction)
    empty = "The mask is empty: the model found nothing at these prompts; add a click on the target."
    notes = prediction.cautions or (() if report["voxels"] else (empty,))
    return Answer(report, _summary(plan, volume, report), partial(_write, options, plan, volume, prediction), notes)


def _checked(options: argparse.Namespace) -> _Plan:
    from inference_core.io.files import check_labels_path
    from inference_core.io.prompts_json import PromptFile, read_prompts
    from inference_core.prompts.prompt_set import PromptSet

    if not is_dicom_seg(options.output):
        check_labels_path(options.output)
    check_outputs(*_outputs(options))
    _check_inputs_are_kept(options)
    source = check_exports(options)
    saved = PromptFile(PromptSet()) if options.prompts is None else read_prompts(options.prompts)
    check_prompt_arguments(options.given)
    name = next((name for name in (options.model, saved.model) if name is not None), DEFAULT_MODEL)
    named = get_spec((options.weights and trained_model(options.weights)) or name)
    if not options.given and not saved.prompts.prompts and not named.automatic:
        raise UsageError(
            "There is nothing to go by; give --click R A S, --box R A S SR SA SS, --line, --text or --prompts FILE."
        )
    check_stack_options(options, named)
    spec, weights = find_model(name, options.weights)
    if options.window == "official" and not spec.window.original:
        raise UsageError(f"'{spec.name}' has no official window; leave out --window official.")
    if isinstance(options.window, float) and spec.window.layout is Layout.SLICES:
        raise UsageError(f"'{spec.name}' looks at whole slices; leave out --window.")
    threshold = options.threshold if options.threshold is not None else saved.threshold
    return _Plan(spec, weights, saved, 0.0 if threshold is None else threshold, source)


def _window(text: str) -> str | float:
    return text if text in ("adaptive", "official") else positive(text)


def _check_inputs_are_kept(options: argparse.Namespace) -> None:
    """Refuse outputs that would overwrite what is read.

    Raises:
        UsageError: one would.
    """
    from inference_core.io.companions import files_read

    given = (options.prompts, options.start_from, *model_files(options))
    check_inputs_are_kept(_outputs(options), [*files_read(options.input), *given])


def _outputs(options: argparse.Namespace) -> list[Path]:
    wanted = (options.output, options.json, options.save_prompts, *options.report, options.rtstruct)
    return [path for path in wanted if path is not None]


def _read(options: argparse.Namespace) -> Volume:
    from inference_core.io.files import check_labels_path, read_volume

    volume = read_volume(options.input, series_uid=options.series, part=options.part)
    if not is_dicom_seg(options.output):
        check_labels_path(options.output, shape=volume.grid.shape)
    return volume


def _predict(
    options: argparse.Namespace,
    plan: _Plan,
    volume: Volume,
    *,
    model: Model,
    prompts: PromptSet,
    progress: Progress,
) -> Prediction:
    from inference_core.engine.mask_composition import MaskOptions
    from inference_core.engine.session import Session

    options_of_mask = MaskOptions(threshold=plan.threshold)
    width = None if options.window == "adaptive" else options.window
    session = Session(volume, model, quick=options.quick, window_mm=width)
    return session.predict(prompts, options=options_of_mask, notify=progress.notify)


def _predict_as_original(volume: Volume, model: Model, prompts: PromptSet) -> Prediction:
    from inference_core.engine.original_pipeline import predict_as_original

    return predict_as_original(volume, model, prompts)


def _write(options: argparse.Namespace, plan: _Plan, volume: Volume, prediction: Prediction) -> None:
    from inference_core.io.files import write_labels
    from inference_core.io.prompts_json import prompts_as_json

    prompts = prompts_as_json(prediction.prompts, model=plan.spec.name, threshold=plan.threshold)
    exports = staged_exports(
        options, prediction.mask, volume, source=plan.source, model=plan.spec.name, weights=plan.weights
    )
    unit = _unit(options, plan) if options.report else ""
    pages = staged_pages(options, prediction.mask, volume, unit=unit, model=plan.spec.name, weights=plan.weights)
    with staged(options.save_prompts, prompts), exports, pages:
        if not is_dicom_seg(options.output):
            write_labels(options.output, prediction.mask.on(volume.grid.shape), volume.grid, name=options.name)
    if options.accept is not None:
        from inference_core.training.accepted import accept

        accept(options.accept, volume, prediction.mask.on(volume.grid.shape).view(bool), prediction.prompts)


def _measured(options: argparse.Namespace, plan: _Plan, volume: Volume, prediction: Prediction) -> dict[str, Any]:
    from inference_core.measures.measurements import measure

    return measure(prediction.mask, volume, unit=_unit(options, plan)).as_json()


def _unit(options: argparse.Namespace, plan: _Plan) -> str:
    if plan.source is not None:
        return plan.source.unit
    return unit_of(options.input, series=options.series, part=options.part)


def _report(volume: Volume, model: Model, prediction: Prediction, *, seconds: dict[str, float]) -> dict[str, Any]:
    from inference_core.geometry.values import volume_cautions
    from inference_core.io.prompts_json import prompt_entries
    from inference_core.measures.measurements import volume_ml

    return {
        "series": volume.name,
        "model": model.spec.name,
        "device": model.device,
        "cautions": [*model.spec.cautions, *prediction.cautions, *volume_cautions(volume)],
        "prompts": prompt_entries(prediction.prompts.prompts),
        "seconds": seconds,
        "voxels": prediction.mask.voxel_count,
        "volume_ml": volume_ml(prediction.mask, volume.grid),
        "window": {"shape": list(prediction.window.shape), "spacing_mm": list(prediction.window.spacing)},
        "quality": prediction.quality,
        "extent_mm": [n * step for n, step in zip(prediction.mask.array.shape, volume.grid.spacing, strict=True)],
    }


def _summary(plan: _Plan, volume: Volume, report: dict[str, Any]) -> str:
    window, quality = report["window"], report["quality"]
    estimate = "" if quality is None else f"; estimated overlap with the target {quality:.2f}"
    lines = [
        f"{volume.name}: {plan.spec.title} on {report['device']}",
        f"mask     {report['voxels']} voxels, {report['volume_ml']:.2f} ml, {_by(report['extent_mm'], '.0f')} mm",
        f"window   {_by(window['shape'], 'd')} voxels of {window['spacing_mm'][0]:.2f} mm{estimate}",
    ]
    lines[2:2] = measurement_lines(report["measurements"]) if "measurements" in report else []
    return "\n".join(lines)


def _by(values: Sequence[float], form: str) -> str:
    return " x ".join(format(value, form) for value in values)
