"""`demo`: the whole way from a DICOM series to a segmentation, on a phantom or on the user's own series."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.demo_case import DemoCase, own_case, phantom_case
from inference_core.cli.loading import find_model, load
from inference_core.cli.parsing import UsageError, add_model_options, finite
from inference_core.cli.reporting import Progress, check_outputs, table
from inference_core.io.atomic import make_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inference_core.engine.session import Prediction
    from inference_core.prompts.prompt_set import PromptSet

NAME = "demo"
SUMMARY = "segment a tumor in a made-up CT, or a target of yours"
DESCRIPTION = """Make a synthetic abdominal CT with tumors as a DICOM series, read it, segment one tumor
from a click, a box and a corrective click, and write mask, prompts and a picture. With INPUT
and --click, do it on a series of your own."""
EXAMPLES = """examples:
  sam3dsegment demo
  sam3dsegment demo ct_series/ --click -81.5 12 -243 --output-dir out
"""

_FIELD_MM = 130.0
_MASK, _PROMPTS, _PICTURE = _FILES = ("mask.seg.nrrd", "prompts.json", "picture.png")


@dataclass(frozen=True, eq=False)
class _Step:
    """One prompt, what it is called, and the answer after it."""

    name: str
    answer: Prediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "input", nargs="?", type=Path, metavar="INPUT", help="a DICOM folder of yours, or an image file"
    )
    parser.add_argument("--click", nargs=3, type=finite, metavar=("R", "A", "S"), help="where the target is in INPUT")
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="where to write (default demo_output)",
    )
    add_model_options(parser)


def run(options: argparse.Namespace) -> None:
    """Run the demonstration, write its files and print a table of the steps.

    Raises:
        SAM3DError: something given cannot be used.
    """
    from inference_core.evaluation.extras import optional

    if (options.input is None) != (options.click is None):
        raise UsageError("An image of yours and a click on it go together; give both INPUT and --click R A S.")
    spec, weights = find_model(options.model, options.weights)
    optional("matplotlib.figure")
    folder: Path = options.output_dir
    with Progress(held=options.input is not None) as progress:
        case = _case(options, progress)
        _make(folder)
        progress.show(f"loading {spec.title}")
        from inference_core.engine.session import Session

        session = Session(case.volume, load(spec, weights, options))
        steps = _steps(case, partial(session.predict, notify=progress.notify))
        progress.show("writing mask, prompts and picture")
        _write(folder, case, steps, model=spec.name)
    print(f"{case.volume.name}: {spec.title} on {session.model.device}")
    print(
        table([("step", "Dice", "volume ml", "encode s", "decode s", "total s"), *[_row(case, step) for step in steps]])
    )
    if case.target is not None:
        print(f"The tumor's true volume is {case.target.sum() * case.volume.grid.voxel_volume_mm3 / 1000:.2f} ml.")
    print(f"Written to '{folder}': {', '.join(_FILES)}")


def _case(options: argparse.Namespace, progress: Progress) -> DemoCase:
    if options.input is not None:
        progress.show(f"reading {options.input}")
        return own_case(options.input, tuple(options.click))
    _make(options.output_dir)
    progress.show("making the phantom and reading it back from DICOM")
    return phantom_case(options.output_dir)


def _make(folder: Path) -> None:
    make_folder(folder)
    check_outputs(*(folder / name for name in _FILES))


def _steps(case: DemoCase, predict: Callable[[PromptSet], Prediction]) -> list[_Step]:
    """A click; and where the truth is known, a box and a corrective click."""
    from inference_core.prompts.prompt_set import PromptSet

    steps = [_Step("click", predict(PromptSet((case.first,))))]
    box = case.box()
    if box is not None:
        steps.append(_Step("box", predict(steps[-1].answer.prompts.with_(box))))
    click = case.correction(_mask(case, steps[-1]))
    if click is not None:
        steps.append(_Step("corrective click", predict(steps[-1].answer.prompts.with_(click))))
    return steps


def _mask(case: DemoCase, step: _Step) -> NDArray[np.bool_]:
    import numpy as np

    return step.answer.mask.on(case.volume.grid.shape).view(np.bool_)


def _write(folder: Path, case: DemoCase, steps: list[_Step], *, model: str) -> None:
    from inference_core.io.files import write_labels
    from inference_core.io.prompts_json import write_prompts

    write_labels(folder / _MASK, _mask(case, steps[-1]), case.volume.grid, name="tumor")
    write_prompts(folder / _PROMPTS, steps[-1].answer.prompts, model=model)
    _draw(folder / _PICTURE, case, steps)


def _draw(path: Path, case: DemoCase, steps: list[_Step]) -> None:
    """Draw the answers before and after the last prompt."""
    from inference_core.evaluation.pictures import Outline, Row, three_planes
    from inference_core.geometry.volume import Volume

    grid = case.volume.grid
    truth = [] if case.target is None else [Outline("truth", Volume(case.target, grid), "#4aa8ff")]
    rows = [
        Row(
            f"after the {step.name}: {_ml(case, step):.1f} ml",
            [*truth, Outline("mask", Volume(_mask(case, step), grid), "#ff4fa3")],
            step.answer.prompts,
        )
        for step in steps[-2:]
    ]
    center = steps[0].answer.prompts.clicks[0].ras
    three_planes(path, case.volume, rows, center_ras=center, field_mm=_FIELD_MM, title=case.volume.name)


def _row(case: DemoCase, step: _Step) -> tuple[str, ...]:
    from inference_core.evaluation.metrics import dice

    overlap = "-" if case.target is None else f"{dice(_mask(case, step), case.target):.3f}"
    seconds = step.answer.seconds
    times = (f"{value:.2f}" for value in (seconds.encode, seconds.decode, seconds.total))
    return step.name, overlap, f"{_ml(case, step):.2f}", *times


def _ml(case: DemoCase, step: _Step) -> float:
    from inference_core.measures.measurements import volume_ml

    return volume_ml(step.answer.mask, case.volume.grid)
