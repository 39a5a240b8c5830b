"""Pictures for reports: masks and prompts on the three planes of a volume, and curves of Dice against clicks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inference_core.evaluation.extras import optional
from inference_core.evaluation.planes import NAMES, Plane, pixel_grid, window_of
from inference_core.geometry.volume import Volume
from inference_core.io.atomic import replacing
from inference_core.prompts.prompt_set import PromptSet

AnyPath = str | os.PathLike[str]

_NEAR_MM = 4.0
_POSITIVE, _NEGATIVE, _BOX = "#2ee66b", "#ff5a4d", "#ffd23f"


@dataclass(frozen=True, eq=False)
class Outline:
    """A mask to outline: label for the legend, the non-zero voxels of a volume on any grid, a matplotlib color."""

    label: str
    mask: Volume
    color: str


@dataclass(frozen=True, eq=False)
class Row:
    """One row of three planes: a title, the masks and the prompts drawn on it."""

    title: str
    outlines: Sequence[Outline] = ()
    prompts: PromptSet = PromptSet()  # noqa: RUF009 - immutable


def three_planes(
    path: AnyPath,
    volume: Volume,
    rows: Sequence[Row],
    *,
    center_ras: ArrayLike,
    field_mm: float | None = None,
    window: tuple[float, float] | None = None,
    title: str = "",
) -> None:
    """Draw the axial, coronal and sagittal plane through a point, one row for each state, into a PNG.

    Args:
        path: the file to write; it is written whole or not at all.
        volume: the image, on any grid.
        rows: what to draw on it, for example before and after a click.
        center_ras: the point all planes pass through, RAS mm.
        field_mm: edge of the squares shown around the point; None shows whole planes.
        window: intensities shown as black and as white; None chooses by `planes.window_of`.
        title: a line above everything.

    Raises:
        OutputError: the file cannot be written.
        SAM3DError: matplotlib is not installed.
    """
    planes = [Plane.through(name, center_ras, volume=volume.grid, field_mm=field_mm) for name in NAMES]
    pictures = [plane.sample(volume) for plane in planes]
    low, high = window_of(volume) if window is None else window
    figure, axes = _panels(planes, rows=len(rows))
    for row, line in zip(rows, axes, strict=True):
        for plane, picture, panel in zip(planes, pictures, line, strict=True):
            _draw_plane(panel, plane, picture, window=(low, high))
            for outline in row.outlines:
                _draw_outline(panel, plane, outline)
            _draw_prompts(panel, plane, row.prompts)
        line[0].set_title(row.title, loc="left", fontsize=10, color="white")
        _draw_legend(line[-1], row)
    _draw_scale(axes[-1][0], planes[0])
    figure.suptitle(title, color="white", fontsize=12, x=0.003, ha="left")
    _save(figure, path)


def plot_dice_against_clicks(
    path: AnyPath, curves: Mapping[str, Sequence[float]], *, title: str = "", show_mean: bool = True
) -> None:
    """Draw Dice after 1, 2, ... clicks into a PNG: a line for each case or method, and their mean.

    The mean is over the curves that have a value there.

    Raises:
        OutputError: the file cannot be written.
        SAM3DError: matplotlib is not installed.
    """
    figure = optional("matplotlib.figure").Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    for name, values in curves.items():
        panel.plot(range(1, len(values) + 1), values, marker="o", markersize=3.5, linewidth=1.2, alpha=0.8, label=name)
    most = max((len(values) for values in curves.values()), default=0)
    if show_mean and len(curves) > 1:
        means = [np.mean([values[n] for values in curves.values() if len(values) > n]) for n in range(most)]
        panel.plot(range(1, most + 1), means, color="black", linewidth=2.6, marker="o", markersize=5, label="mean")
    panel.set(xlabel="clicks", ylabel="Dice", ylim=(0, 1.02), xticks=range(1, most + 1), title=title)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    if curves:
        panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def _panels(planes: list[Plane], *, rows: int) -> tuple[Any, Any]:
    """A dark figure with a column for each plane, as wide as the plane in mm, and a row for each state."""
    widths = [plane.extent[1] - plane.extent[0] for plane in planes]
    height = max(plane.extent[2] - plane.extent[3] for plane in planes)
    inches = 11.5 / sum(widths)
    size = (11.8, rows * (height * inches + 0.35) + 0.4)
    figure = optional("matplotlib.figure").Figure(figsize=size, facecolor="black", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure, figure.subplots(rows, 3, squeeze=False, width_ratios=widths)


def _draw_plane(panel: Any, plane: Plane, picture: Any, *, window: tuple[float, float]) -> None:
    panel.imshow(
        picture,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        extent=plane.extent,
        interpolation="bilinear",
        aspect="equal",
    )
    panel.set(facecolor="black", xticks=[], yticks=[], anchor="N")
    places = ((0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center"), (0.5, 0.985, "center", "top"),
              (0.5, 0.015, "center", "bottom"))  # fmt: skip
    for letter, (x, y, across, along) in zip(plane.letters, places, strict=True):
        panel.text(x, y, letter, transform=panel.transAxes, ha=across, va=along, color="#9ad0ff", fontsize=9)


def _draw_outline(panel: Any, plane: Plane, outline: Outline) -> None:
    mask = Volume((outline.mask.array != 0).astype(np.float32), outline.mask.grid, outline.label)
    shown = np.nan_to_num(plane.sample(mask))
    if shown.min() < 0.5 <= shown.max():
        panel.contour(*pixel_grid(plane), shown, levels=[0.5], colors=[outline.color], linewidths=1.3)


def _draw_prompts(panel: Any, plane: Plane, prompts: PromptSet) -> None:
    """Draw clicks near the plane in full and the rest of those in the picture faintly, and each box's cut."""
    left, right, bottom, top = plane.extent
    for click in prompts.clicks:
        x, y, off = plane.locate(click.ras)
        if left <= x <= right and top <= y <= bottom:
            _draw_click(panel, (x, y), positive=click.positive, alpha=1.0 if abs(off) <= _NEAR_MM else 0.3)
    for box in prompts.boxes:
        corners = plane.outline_of(box)
        if len(corners):
            panel.fill(*corners.T, fill=False, edgecolor=_BOX, linestyle="--", linewidth=1.2)
    panel.set(xlim=(left, right), ylim=(bottom, top))


def _draw_click(panel: Any, place: tuple[float, float], *, positive: bool, alpha: float) -> None:
    marker, color = ("+", _POSITIVE) if positive else ("_", _NEGATIVE)
    for width, edge in ((3.8, "black"), (1.8, color)):
        panel.plot(
            *place, marker=marker, markersize=9, markeredgewidth=width, color=edge, alpha=alpha, linestyle="none"
        )


def _draw_legend(panel: Any, row: Row) -> None:
    lines = optional("matplotlib.lines")
    entries = [lines.Line2D([], [], color=outline.color, label=outline.label) for outline in row.outlines]
    for positive, marker, color, name in (
        (True, "+", _POSITIVE, "click"),
        (False, "_", _NEGATIVE, "background click"),
    ):
        if any(click.positive == positive for click in row.prompts.clicks):
            entries.append(lines.Line2D([], [], color=color, marker=marker, linestyle="none", mew=2, label=name))
    if row.prompts.boxes:
        entries.append(lines.Line2D([], [], color=_BOX, linestyle="--", label="box"))
    if entries:
        panel.legend(
            handles=entries, loc="upper right", fontsize=8, facecolor="black", labelcolor="white", framealpha=0.55
        )


def _draw_scale(panel: Any, plane: Plane) -> None:
    left, right, bottom, top = plane.extent
    length = 10.0 if right - left < 80 else 50.0
    x, y = left + 0.04 * (right - left), bottom - 0.05 * (bottom - top)
    panel.plot([x, x + length], [y, y], color="white", linewidth=2)
    panel.text(x, y - 0.015 * (bottom - top), f"{length / 10:.0f} cm", color="white", fontsize=8, va="bottom")


def _save(figure: Any, path: AnyPath) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, facecolor=figure.get_facecolor())
