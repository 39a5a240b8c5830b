"""`compare`: the same prompts through two models, or cut at two boundaries, and where the masks differ."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.followup import labels_of
from inference_core.cli.loading import find_model, load, model_files
from inference_core.cli.parsing import UsageError, add_json_option, add_model_options, add_series_options, finite
from inference_core.cli.prompt_arguments import add_prompt_options, check_prompt_arguments, in_ras
from inference_core.cli.reporting import Progress, check_inputs_are_kept, check_outputs, json_text, say, staged, table
from inference_core.models.registry import DEFAULT_MODEL
from inference_core.models.spec import ModelSpec

if TYPE_CHECKING:
    from inference_core.engine.session import Session
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.io.prompts_json import PromptFile
    from inference_core.measures.agreement import Agreement
    from inference_core.prompts.prompt_set import PromptSet

NAME = "compare"
SUMMARY = "the same prompts through two models or two boundaries: Dice, and where they differ"
DESCRIPTION = """Segment one target twice from the same prompts, A by --model and --threshold, B by --against and
--against-threshold (what is left out is as for A), and say how far the masks agree. --output writes the
voxels of both, of A alone and of B alone as three segments; --output-a and --output-b the masks themselves."""
EXAMPLES = """examples:
  sam3dsegment compare ct_series/ --prompts prompts.json --against sam_med3d --output differences.seg.nrrd
  sam3dsegment compare ct_series/ --click -81.5 12 -243 --against-threshold -1.5 --output-b larger.seg.nrrd
"""
_PARTS = ("both", "only A", "only B")


@dataclass(frozen=True, eq=False)
class _Side:
    """A or B: the model, its weights, its base, and where the mask is cut."""

    spec: ModelSpec
    weights: Path
    base: Path | None
    threshold: float

    def loads_as(self, other: _Side) -> bool:
        return (self.spec.name, self.weights, self.base) == (other.spec.name, other.weights, other.base)

    def words(self) -> str:
        return f"{self.spec.name}, boundary {self.threshold:g}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="a DICOM folder or an image file")
    add_prompt_options(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="saved prompts, which come before all others")
    add_series_options(parser)
    add_model_options(parser, default=None)
    parser.add_argument("--threshold", type=finite, help="logit above which a voxel is in A (default 0)")
    parser.add_argument("--against", metavar="NAME", help="the model of B (default that of A)")
    parser.add_argument("--against-weights", type=Path, metavar="FILE", help="weights of B's model, as --weights")
    parser.add_argument("--against-base", type=Path, metavar="FILE", help="base of B's model, as --base")
    parser.add_argument("--against-threshold", type=finite, metavar="LOGIT", help="as --threshold, for B")
    parser.add_argument(
        "--output", type=Path, metavar="OUT", help="where both, A alone and B alone are: .seg.nrrd, ..."
    )
    for side in "ab":
        parser.add_argument(f"--output-{side}", type=Path, metavar="OUT", help=f"the mask of {side.upper()}")
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Compare, write what is asked for, and print how far the masks agree.

    Raises:
        SAM3DError: something given cannot be used; nothing has been written then.
    """
    saved = _checked(options)
    a, b = _sides(options, saved)
    with Progress(held=True) as progress:
        from inference_core.io.files import read_volume
        from inference_core.measures.agreement import agreement

        progress.show(f"reading {options.input}")
        volume = read_volume(options.input, series_uid=options.series, part=options.part)
        prompts = saved.prompts.with_(*in_ras(options.given, options.frame, volume.grid))
        prompts.checked_on(volume.grid, volume.name)
        masks = _answers(options, (a, b), volume, prompts=prompts, progress=progress)
        found = agreement(*masks, volume.grid)
        _write(options, volume, masks, found=found, sides=(a, b))
    sizes = ((found.ml_both + alone) for alone in (found.ml_only_a, found.ml_only_b))
    rows = [(name, side.words(), f"{ml:.2f}") for name, side, ml in zip("AB", (a, b), sizes, strict=True)]
    print(table([("", "model", "ml"), *rows]))
    print(found.sentence())


def _checked(options: argparse.Namespace) -> PromptFile:
    from inference_core.io.companions import files_read
    from inference_core.io.files import check_labels_path
    from inference_core.io.prompts_json import PromptFile, read_prompts
    from inference_core.prompts.prompt_set import PromptSet

    masks = [path for path in (options.output, options.output_a, options.output_b) if path is not None]
    check_outputs(*masks, options.json)
    for path in masks:
        check_labels_path(path)
    theirs = argparse.Namespace(weights=options.against_weights, base=options.against_base, text_encoder=None)
    given = (options.prompts, *model_files(options), *model_files(theirs))
    check_inputs_are_kept((*masks, options.json), [*files_read(options.input), *given])
    saved = PromptFile(PromptSet()) if options.prompts is None else read_prompts(options.prompts)
    check_prompt_arguments(options.given)
    if not options.given and not saved.prompts.prompts:
        raise UsageError("There is nothing to go by; give --prompts FILE, --click R A S or another prompt.")
    return saved


def _sides(options: argparse.Namespace, saved: PromptFile) -> tuple[_Side, _Side]:
    """A and B.

    Raises:
        UsageError: nothing tells them apart, or one takes no prompts.
        ModelError: there is no such model, or it is not installed.
    """
    name = options.model or saved.model or DEFAULT_MODEL
    threshold = options.threshold if options.threshold is not None else saved.threshold or 0.0
    a = _Side(*find_model(name, options.weights), options.base, threshold)
    b_threshold = threshold if options.against_threshold is None else options.against_threshold
    if options.against is None and options.against_weights is None and options.against_base is None:
        b = _Side(a.spec, a.weights, a.base, b_threshold)
    else:
        found = find_model(options.against or name, options.against_weights)
        b = _Side(*found, options.against_base, b_threshold)
    if a.loads_as(b) and a.threshold == b.threshold:
        raise UsageError("A and B are the same; give --against NAME, --against-weights FILE or --against-threshold N.")
    for side in (a, b):
        if side.spec.automatic:
            raise UsageError(f"{side.spec.title} takes no prompts, so there is nothing to compare; name another model.")
    if options.text_encoder is not None and not (a.spec.reads_text or b.spec.reads_text):
        raise UsageError("Neither A nor B reads texts; leave --text-encoder out.")
    return a, b


def _answers(
    options: argparse.Namespace, sides: tuple[_Side, _Side], volume: Volume, *, prompts: PromptSet, progress: Progress
) -> tuple[Mask, Mask]:
    """The masks; where only the boundary differs the model is asked once."""
    from inference_core.engine.mask_composition import MaskOptions

    session: Session | None = None
    masks = []
    for n, side in enumerate(sides):
        if session is None or not side.loads_as(sides[n - 1]):
            session = None  # the first model's memory is free before the second is loaded
            session = _session(options, side, volume, progress)
        prediction = session.predict(prompts, options=MaskOptions(threshold=side.threshold), notify=progress.notify)
        for caution in prediction.cautions:
            say(f"{'AB'[n]}: {caution}")
        masks.append(prediction.mask)
    return masks[0], masks[1]


def _session(options: argparse.Namespace, side: _Side, volume: Volume, progress: Progress) -> Session:
    from inference_core.engine.session import Session

    progress.show(f"loading {side.spec.title}")
    encoder = options.text_encoder if side.spec.reads_text else None
    own = argparse.Namespace(**(vars(options) | {"base": side.base, "text_encoder": encoder}))
    return Session(volume, load(side.spec, side.weights, own))


def _write(
    options: argparse.Namespace,
    volume: Volume,
    masks: tuple[Mask, Mask],
    *,
    found: Agreement,
    sides: tuple[_Side, _Side],
) -> None:
    from inference_core.io.files import write_labels, write_segmentation

    with ExitStack() as stack:
        if options.json is not None:
            report = found.as_json() | {name: _described(side) for name, side in zip("ab", sides, strict=True)}
            stack.enter_context(staged(options.json, json_text(report)))
        for path, mask, name in zip((options.output_a, options.output_b), masks, "AB", strict=True):
            if path is not None:
                write_segmentation(path, mask, volume.grid, name=name)
        if options.output is not None:
            labels = labels_of((found.both, found.only_a, found.only_b), volume.grid)
            write_labels(options.output, labels, volume.grid, names=_PARTS)


def _described(side: _Side) -> dict[str, Any]:
    from inference_core.models.weights import sha256_of

    return {"model": side.spec.name, "weights_sha256": sha256_of(side.weights), "threshold": side.threshold}
