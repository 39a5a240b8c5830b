"""A run as one page: its curves, its settings, and pictures of cases kept back with what was found and what is true."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.evaluation.html_page import embedded, write_html
from inference_core.io.atomic import make_folder, replacing
from inference_core.training.run_folder import RunFolder

Picture = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""An image (H, W), the true mask, and the mask found."""

_MOST_POINTS = 600
_MOST_STRIPS = 24
_SCRIPT = """<script>
const control = document.getElementById("step"), strips = document.querySelectorAll("figure.step");
const show = () => strips.forEach((strip, n) => { strip.hidden = n !== Number(control.value); });
control.hidden = strips.length < 2;
control.addEventListener("input", show);
show();
</script>"""


def keep_pictures(folder: RunFolder, pictures: Sequence[Picture], *, step: int) -> None:
    """Keep one look at cases kept back as a strip of pictures; of more than 24 every second one goes, the last stays.

    Without matplotlib, which the extra `train` brings, there are none.
    """
    if not pictures or not _can_draw():
        return
    with replacing(make_folder(folder.pictures) / f"step_{step:08d}.png") as temporary:
        temporary.write_bytes(_png(_overlays(pictures)))
    kept = _strips(folder)
    while len(kept) > _MOST_STRIPS:
        for path in kept[1:-1:2]:
            path.unlink(missing_ok=True)
        kept = _strips(folder)


def write_page(folder: RunFolder) -> None:
    """Write the run's page: curves, the pictures kept, one step at a time behind a slider, and the settings."""
    if not _can_draw():
        return
    lines = folder.lines()
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    body = [
        f"<h1>Training {html.escape(config['model'])}</h1>",
        embedded(_png(_curves(lines))),
        _slider(_strips(folder)),
        f"<h2>Settings</h2><pre>{html.escape(json.dumps(config, indent=1))}</pre>",
    ]
    write_html(folder.page, body, title="Training")


def _slider(strips: Sequence[Path]) -> str:
    """Strips of pictures of which one is shown, the last one at first; all of them where scripts are off."""
    if not strips:
        return ""
    steps = [int(path.stem.partition("_")[2]) for path in strips]
    parts = [
        f"<figure class='step'><figcaption>after step {step}</figcaption>{embedded(path.read_bytes())}</figure>"
        for step, path in zip(steps, strips, strict=True)
    ]
    last = len(strips) - 1
    control = f"<input type='range' id='step' min='0' max='{last}' value='{last}' style='width:100%' hidden>"
    said = "<p>Cases kept back: the true outline in green, what was found in orange.</p>"
    return "\n".join([said, control, *parts, _SCRIPT])


def _strips(folder: RunFolder) -> list[Path]:
    return sorted(folder.pictures.glob("step_*.png")) if folder.pictures.is_dir() else []


def _can_draw() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def middle_slices(image: NDArray[Any], truth: NDArray[Any], found: NDArray[Any]) -> Picture:
    """Of volumes of one shape (D, H, W) the slice along the first axis with most of the target.

    An image of another resolution is shown at the target's.
    """
    number = int(np.argmax(truth.reshape(len(truth), -1).sum(axis=1)))
    rows, columns = (
        (np.arange(size) * old) // size for size, old in zip(truth.shape[1:], image.shape[1:], strict=True)
    )
    return image[number][np.ix_(rows, columns)], truth[number], found[number]


def _curves(lines: Sequence[Mapping[str, Any]]) -> Any:
    figure = _figure(9, 3.2)
    left, right = figure.subplots(1, 2)
    steps = [line for line in lines if "loss" in line]
    kept = [line for line in lines if "validation_dice" in line]
    thin = max(1, len(steps) // _MOST_POINTS)
    shown = [steps[first : first + thin] for first in range(0, len(steps), thin)]
    at = [part[-1]["step"] for part in shown]
    left.plot(at, [np.mean([line["loss"] for line in part]) for part in shown], color="tab:blue")
    left.set(xlabel="step", ylabel="loss")
    for name, label in (("dice_first", "training, first prompt"), ("dice_last", "training, last prompt")):
        right.plot(at, [np.mean([line[name] for line in part]) for part in shown], lw=1, label=label)
    right.plot(
        [line["step"] for line in kept], [line["validation_dice"] for line in kept], "ko-", ms=3, label="kept back"
    )
    right.set(xlabel="step", ylabel="Dice", ylim=(0, 1))
    right.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _overlays(pictures: Sequence[Picture]) -> Any:
    columns = min(4, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = _figure(2.4 * columns, 2.4 * rows)
    for number, (image, truth, found) in enumerate(pictures):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(image, cmap="gray")
        for mask, color in ((truth, "lime"), (found, "orange")):
            if mask.any() and not mask.all():
                axes.contour(mask, [0.5], colors=color, linewidths=1)
        axes.set_axis_off()
    figure.tight_layout()
    return figure


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
