"""`evaluate --table`: a paper's rows and columns for weights of one's own, on a prepared data set."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.loading import load
from inference_core.cli.parsing import UsageError, text_file
from inference_core.cli.reporting import Progress, check_outputs, json_text, say, staged, table
from inference_core.cli.sharding import Share
from inference_core.cli.weights_folder import Weighed, weights_in
from inference_core.errors import SAM3DError
from inference_core.evaluation.tables.definitions import TABLES, Setting, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inference_core.evaluation.tables.scores import Score
    from inference_core.geometry.volume import Volume
    from inference_core.models.interface import Model
    from inference_core.models.spec import ModelSpec
    from inference_core.training.data.cases import Case, DataSet

    Answered = tuple[str, Setting, NDArray[np.bool_], NDArray[np.bool_]]

Targets = dict[str, tuple[int, ...]]
"""Label values of each target by its name."""

SIDES = ("auto", "train", "validation", "test")
_OF_IMAGES = ("images", "labels", "label", "box", "start", "plot", "report")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of tables."""
    group = parser.add_argument_group("the papers' tables")
    group.add_argument("--table", choices=tuple(TABLES), help="the rows and columns of a paper's table")
    group.add_argument("--data", type=Path, metavar="PREPARED", help="a data set that `data prepare` made")
    group.add_argument("--rows", nargs="+", metavar="ROW", help="these rows alone, as '1 point' 'tight box'")
    group.add_argument(
        "--side", choices=SIDES, default="auto", help="which cases (default: the test cases, else those for validation)"
    )
    group.add_argument("--fold", type=int, metavar="N", help="of the data set's folds (default the first)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the points that are drawn (default 0)")
    group.add_argument("--csv", type=text_file, metavar="FILE", help="write every number of the table, a row each")


def run(options: argparse.Namespace) -> None:
    """Evaluate all weights, write the files asked for, and print the table.

    Raises:
        SAM3DError: something given cannot be used, or some cases failed; what the others gave is written then.
    """
    asked, data, settings = _checked(options)
    targets = targets_of(data)
    cases = cases_of(data, options)
    weighed = weights_in(options.weights, model=options.model)
    share = Share.of_environment()
    scores, failed = [], []
    for name, spec, weights in weighed:
        own = [setting for setting in settings if _is_for(setting, spec)]
        if not own:
            say(f"{name} can be prompted in no row that was asked for.")
            continue
        model = load(spec, weights, options)
        values = values_found(model.spec, data, targets) if model.spec.automatic else ()
        for case in share.of(cases):
            found, wrong = _case(
                case, model, name=name, table=asked, settings=own, targets=targets, values=values, options=options
            )
            scores += found
            failed += wrong
    everything = share.gathered((scores, failed))
    if everything is None:
        return
    scores = [score for part, _ in everything for score in part]
    failed = [name for _, part in everything for name in part]
    _report(asked, data, _in_order(scores, weighed, cases), options)
    if failed:
        raise SAM3DError(f"{len(failed)} cases could not be evaluated; see the lines above.")


def targets_of(data: DataSet) -> Targets:
    """What is segmented of a prepared set: the paper's targets, regions or else every class."""
    regions, wanted = data.notes.get("regions"), data.notes.get("targets")
    if isinstance(regions, dict) and regions:
        return {str(name): tuple(map(int, values)) for name, values in regions.items()}
    return {name: (value,) for value, name in data.classes.items() if not wanted or name in wanted}


def values_found(spec: ModelSpec, data: DataSet, targets: Targets) -> tuple[int, ...]:
    """The label value of each class of an automatic model: of the table's targets, or of all of the set's.

    Raises:
        UsageError: the model has another number of classes than either.
    """
    wanted = sorted(value for values in targets.values() for value in values)
    for values in (wanted, sorted(data.classes)):
        if len(values) == len(spec.classes):
            return tuple(values)
    raise UsageError(
        f"{spec.title} finds {len(spec.classes)} classes where '{data.name}' has {len(data.classes)}; prepare it "
        "as the weights were trained (`data prepare --paper`)."
    )


def cases_of(data: DataSet, options: argparse.Namespace) -> list[Case]:
    """The cases of the side asked for.

    Raises:
        UsageError: there is none.
    """
    from inference_core.training.data import split_by_patient

    split = split_by_patient(data, fold=options.fold)
    side = options.side if options.side != "auto" else "test" if split.test else "validation"
    names: tuple[str, ...] = getattr(split, side)
    if not names:
        raise UsageError(f"'{data.name}' has no case for {side}; choose another --side.")
    return [data[name] for name in names]


def _checked(options: argparse.Namespace) -> tuple[Table, DataSet, list[Setting]]:
    from inference_core.evaluation.extras import optional
    from inference_core.training.data import read_data_set

    if options.data is None or options.weights is None:
        raise UsageError("A table needs --data PREPARED and --weights FOLDER; give both.")
    given = [name for name in _OF_IMAGES if getattr(options, name) is not None]
    if given:
        raise UsageError(f"--{given[0]} is not for tables; leave it out.")
    check_outputs(options.json, options.csv)
    optional("scipy")
    optional("monai.metrics")
    asked = TABLES[options.table]
    settings = [asked.setting(row) for row in options.rows] if options.rows else list(asked.settings)
    data = read_data_set(options.data)
    if data.notes.get("recipe") not in asked.recipes:
        say(f"'{data.name}' was not prepared as {' or '.join(asked.recipes)}; published numbers may be of other cases.")
    return asked, data, settings


def _is_for(setting: Setting, spec: ModelSpec) -> bool:
    from inference_core.evaluation.tables.prompting import is_for

    return is_for(setting, spec)


def _case(
    case: Case,
    model: Model,
    *,
    name: str,
    table: Table,
    settings: Sequence[Setting],
    targets: Targets,
    values: Sequence[int],
    options: argparse.Namespace,
) -> tuple[list[Score], list[str]]:
    """A case's scores, or its name among the failed ones."""
    from inference_core.evaluation.tables.scores import Score, measured

    where = f"{name}: {case.name}"
    found = []
    try:
        with Progress(held=True) as progress:
            progress.show(where)
            volume, labels = case.read(), case.read_labels().array
            answered = _classified if model.spec.automatic else _prompted
            given = {"values": values} if model.spec.automatic else {"seed": options.seed}
            for target, setting, mask, truth in answered(volume, labels, model, settings, targets, **given):
                reached = measured(table.measures, mask, truth, volume.grid.spacing)
                found.append(Score(name, setting.name, case.name, target, reached))
    except SAM3DError as error:
        say(f"{where}: failed. {error}")
        return [], [case.name]
    say(f"{where}: {len(found)} masks")
    return found, []


def _classified(
    volume: Volume,
    labels: NDArray[Any],
    model: Model,
    settings: Sequence[Setting],
    targets: Targets,
    *,
    values: Sequence[int],
) -> Iterator[Answered]:
    """Targets with where an automatic model finds them, and where they are."""
    import numpy as np

    from inference_core.engine.automatic import segment_automatically

    found = np.array([0, *values])[segment_automatically(volume, model).labels.array]
    for target, wanted in targets.items():
        yield target, settings[0], np.isin(found, wanted), np.isin(labels, wanted)


def _prompted(
    volume: Volume, labels: NDArray[Any], model: Model, settings: Sequence[Setting], targets: Targets, *, seed: int
) -> Iterator[Answered]:
    """Targets and rows with the model's mask and the true one; a target that is not there cannot be prompted for."""
    import numpy as np

    from inference_core.evaluation.protocol import session_segment
    from inference_core.evaluation.tables.prompting import answers
    from inference_core.models.interface import promptable

    segment = session_segment(volume, promptable(model))
    for target, values in targets.items():
        truth = np.isin(labels, values)
        if truth.any():
            spec = model.spec
            for setting, mask in answers(settings, segment, truth, volume.grid, spec=spec, seed=seed):
                yield target, setting, mask, truth


def _in_order(scores: Sequence[Score], weighed: Sequence[Weighed], cases: Sequence[Case]) -> list[Score]:
    """By weights and case, whichever process did them."""
    models = {name: n for n, (name, _, _) in enumerate(weighed)}
    places = {case.name: n for n, case in enumerate(cases)}
    return sorted(scores, key=lambda score: (models[score.model], places[score.case]))


def _report(asked: Table, data: DataSet, scores: Sequence[Score], options: argparse.Namespace) -> None:
    from inference_core.evaluation.tables.lines import as_json, lines_of, remarks, rows_of

    lines = lines_of(asked, scores, data.notes)
    content = {"data": data.name, "prepared": data.notes, "seed": options.seed, **as_json(asked, lines, scores)}
    with ExitStack() as files:
        files.enter_context(staged(options.csv, _csv(lines)))
        files.enter_context(staged(options.json, json_text(content)))
    print(f"{asked.title}: {len({score.case for score in scores})} cases of {data.name}")
    for measure in asked.measures:
        print(f"\n{measure.title}")
        print(table(rows_of(asked, lines, measure, data.notes)))
    print()
    for remark in remarks(asked, lines, data.notes):
        print(remark)


def _csv(lines: Sequence[Any]) -> str:
    from inference_core.evaluation.tables.lines import CSV_TITLES, csv_rows

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_TITLES)
    writer.writerows(csv_rows(lines))
    return text.getvalue().rstrip("\n")
