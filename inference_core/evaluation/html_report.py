"""An evaluation as one page: figures of merit, curves, every case worst first, and pictures of the worst.

No patient data but the files' names as they were given; everything is in the one file.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from inference_core.evaluation.cases import read_case
from inference_core.evaluation.html_page import embedded, write_html
from inference_core.evaluation.pictures import Outline, Row, plot_dice_against_clicks, three_planes
from inference_core.evaluation.report import Case, curve_line, dice_curves, summary_of
from inference_core.evaluation.summary import Estimate, Summary
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.volume import Volume

_WORST = 5
_FIELD_PER_TARGET = 2.2


def write_report(
    path: Path, done: Mapping[str, Sequence[Case]], *, title: str, command: str, label: int | None
) -> None:
    """Write the page, whole or not at all. `done` has the cases of the model first, then those of its peers.

    Raises:
        OutputError: the file cannot be written.
        SAM3DError: matplotlib is not installed, or an image cannot be read again.
    """
    name, cases = next(iter(done.items()))
    worst_first = sorted(cases, key=lambda case: case.result.scores[-1].dice)
    body = [
        f"<h1>{html.escape(title)}: {len(cases)} cases</h1>",
        f"<p><code>{html.escape(command)}</code></p>",
        _figures({method: summary_of(found) for method, found in done.items() if found}),
        _curves(done, name),
        _table(worst_first),
        *(_picture(case, label=label) for case in worst_first[:_WORST]),
    ]
    write_html(path, body, title=title)


def _figures(summaries: Mapping[str, Summary]) -> str:
    rows: list[tuple[str, Callable[[Summary], str]]] = [
        ("Dice after each click", lambda s: curve_line([e.mean for e in s.dice])),
        ("after the last, 95 % interval over patients", lambda s: _interval(s.dice[-1])),
        ("NSD after each click", lambda s: curve_line([e.mean for e in s.nsd])),
        ("area under Dice, clicks 1 to 5 (0 to 4)", lambda s: _interval(s.dice_area)),
        ("area under NSD", lambda s: _interval(s.nsd_area)),
        ("clicks to Dice 0.85; to 0.90", lambda s: f"{s.noc[0.85].mean:.1f}; {s.noc[0.9].mean:.1f}"),
        ("never reached 0.85; 0.90", lambda s: f"{s.failed[0.85]:.0%}; {s.failed[0.9]:.0%}"),
        ("harmful clicks (Dice falls by over 0.02)", lambda s: f"{s.harmful} of {s.further_clicks}"),
        ("worst fall", lambda s: f"{s.worst_fall:.3f}"),
        ("95 % Hausdorff distance after the last click, mm", lambda s: _interval(s.hausdorff95_mm)),
    ]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in summaries)
    lines = [
        f"<tr><td>{title}</td>{''.join(f'<td>{shown(summary)}</td>' for summary in summaries.values())}</tr>"
        for title, shown in rows
    ]
    return f"<table><caption>Figures</caption><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _interval(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.mean:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _curves(done: Mapping[str, Sequence[Case]], name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "curves.png")
        means = {f"{other} (mean)": _mean_curve(cases) for other, cases in done.items() if other != name and cases}
        plot_dice_against_clicks(
            picture, dice_curves(done[name]) | means, title="Dice after each click", show_mean=True
        )
        return embedded(picture.read_bytes())


def _mean_curve(cases: Sequence[Case]) -> list[float]:
    return [estimate.mean for estimate in summary_of(cases).dice]


def _table(cases: Sequence[Case]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(case.image)}</td><td>{curve_line([s.dice for s in case.result.scores])}</td>"
        f"<td>{curve_line([s.nsd for s in case.result.scores])}</td><td>{case.result.hausdorff95_mm:.1f}</td></tr>"
        for case in cases
    )
    head = "<tr><th>image</th><th>Dice</th><th>NSD</th><th>HD95, mm</th></tr>"
    return f"<table><caption>Every case, worst first</caption>{head}{rows}</table>"


def _picture(case: Case, *, label: int | None) -> str:
    volume, target = read_case(Path(case.image), Path(case.label), label=label)
    mask = case.result.answer.unpack().on(volume.grid.shape)
    box = VoxelBox.over(target)
    assert box is not None, "the target holds something"
    low, high = volume.grid.to_ras(box.start), volume.grid.to_ras(box.stop - 1)
    outlines = [
        Outline("truth", Volume(target, volume.grid), "#4aa8ff"),
        Outline("mask", Volume(mask, volume.grid), "#ff4fa3"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "case.png")
        three_planes(
            picture,
            volume,
            [Row(f"Dice {case.result.scores[-1].dice:.2f}", outlines, case.result.prompts)],
            center_ras=case.result.prompts.clicks[0].ras if case.result.prompts.clicks else (low + high) / 2,
            field_mm=_FIELD_PER_TARGET * float(np.abs(high - low).max()) + 20,
            title=case.image,
        )
        return embedded(picture.read_bytes())
