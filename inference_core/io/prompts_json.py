"""Prompts in a file, so that a segmentation can be repeated: JSON, in RAS millimeters, written by panel and terminal.

    {"format": "sam3dsegment-prompts", "version": 1, "frame": "ras", "model": "sam3d_lite", "threshold": 0.0,
     "prompts": [{"type": "click", "position": [r, a, s], "positive": true},
                 {"type": "box", "center": [r, a, s], "axes": [[r, a, s], [r, a, s], [r, a, s]], "size": [x, y, z]},
                 {"type": "line", "start": [r, a, s], "end": [r, a, s]},
                 {"type": "scribble", "points": [[r, a, s], ...], "positive": true},
                 {"type": "lasso", "points": [[r, a, s], ...], "positive": true},
                 {"type": "text", "text": "the left kidney"}]}

Prompts stand in the order given. A click may say how far from it voxels may change ("reach_mm"). A box's axes are the
unit directions of its edges; its size, their lengths in mm. `model` and `threshold` may be null or left out. Further
keys are passed over, so that later writers may add some.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.numbers import is_number
from inference_core.io.atomic import replacing
from inference_core.io.opening import is_regular_file
from inference_core.prompts.prompt_set import BoxPrompt, Click, Prompt, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Point, Scribble
from inference_core.prompts.text import TextPrompt

Made = TypeVar("Made", bound=Prompt)
FORMAT = "sam3dsegment-prompts"
VERSION = 1


@dataclass(frozen=True)
class PromptFile:
    """What a prompt file says: the prompts, and the model and the threshold (a logit) they were used with."""

    prompts: PromptSet
    model: str | None = None
    threshold: float | None = None


def read_prompts(path: str | os.PathLike[str]) -> PromptFile:
    """Read a prompt file.

    Raises:
        PromptError: there is no such file, it is of another kind or version, or one of its prompts is malformed.
    """
    name = Path(path).name
    return _understood(_parsed(Path(path)), name)


def prompts_from_json(text: str, *, name: str) -> PromptFile:
    """Read the content of a prompt file; errors call it by `name`.

    Raises:
        PromptError: it is of another kind or version, or one of its prompts is malformed.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"The saved prompts of '{name}' are damaged; place them again.") from error
    if not isinstance(content, dict):
        raise PromptError(f"The saved prompts of '{name}' are damaged; place them again.")
    return _understood(content, name)


def _understood(content: dict[str, Any], name: str) -> PromptFile:
    _check_kind(content, name)
    entries = content.get("prompts")
    if not isinstance(entries, list):
        raise PromptError(f"'{name}' has no list of prompts; save the prompts again.")
    prompts = tuple(_prompt(entry, where=f"'{name}', prompt {n}") for n, entry in enumerate(entries, start=1))
    model, threshold = content.get("model"), content.get("threshold")
    if model is not None and not isinstance(model, str):
        raise PromptError(f"'{name}' names a model that is no text; correct its \"model\".")
    if threshold is not None and not is_number(threshold):
        raise PromptError(f"'{name}' has a threshold that is not a finite number; correct its \"threshold\".")
    return PromptFile(PromptSet(prompts), model, None if threshold is None else float(threshold))


def write_prompts(
    path: str | os.PathLike[str], prompts: PromptSet, *, model: str | None = None, threshold: float | None = None
) -> None:
    """Write a prompt file, whole or not at all.

    Raises:
        PromptError: the prompts start from a mask, which the format does not hold.
        OutputError: the file cannot be written.
    """
    if prompts.initial_mask is not None:
        raise PromptError(
            "A prompt file holds what was placed and drawn, not the mask they start from; save the mask as well."
        )
    with replacing(path) as temporary:
        temporary.write_text(prompts_as_json(prompts, model=model, threshold=threshold) + "\n", encoding="utf-8")


def prompts_as_json(
    prompts: PromptSet, *, model: str | None = None, threshold: float | None = None, indent: int | None = 1
) -> str:
    """The content of a prompt file, on one line where `indent` is None; an initial mask is left out."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "frame": "ras",
        "model": model,
        "threshold": threshold,
        "prompts": prompt_entries(prompts.prompts),
    }
    return json.dumps(content, indent=indent)


def prompt_entries(prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
    """Prompts as the file's entries."""
    return [_entry(prompt) for prompt in prompts]


def _entry(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, Click):
        reach = {} if prompt.reach_mm is None else {"reach_mm": prompt.reach_mm}
        return {"type": "click", "position": list(prompt.ras), "positive": prompt.positive, **reach}
    if isinstance(prompt, Line):
        return {"type": "line", "start": list(prompt.start_ras), "end": list(prompt.end_ras)}
    if isinstance(prompt, Scribble | Lasso):
        kind = "scribble" if isinstance(prompt, Scribble) else "lasso"
        return {"type": kind, "points": [list(point) for point in prompt.points_ras], "positive": prompt.positive}
    if isinstance(prompt, TextPrompt):
        return {"type": "text", "text": prompt.text}
    box = prompt.box
    return {"type": "box", "center": box.center.tolist(), "axes": box.axes.T.tolist(), "size": box.size.tolist()}


def _parsed(path: Path) -> dict[str, Any]:
    if not is_regular_file(path):  # a pipe or a device may have no end
        if os.path.lexists(path):
            raise PromptError(f"'{path}' cannot be read, as it is no plain file; check the path.")
        raise PromptError(f"There is no prompt file '{path}'; check the path.")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PromptError(f"'{path}' cannot be read ({error.strerror or error}); check the file.") from error
    except (ValueError, RecursionError) as error:
        raise PromptError(f"'{path.name}' is not JSON; choose a file with saved prompts.") from error
    if not isinstance(content, dict):
        raise PromptError(f"'{path.name}' is no prompt file; choose a file with saved prompts.")
    return content


def _check_kind(content: dict[str, Any], name: str) -> None:
    if content.get("format") != FORMAT:
        raise PromptError(f'\'{name}\' is no prompt file (its "format" is not "{FORMAT}"); choose another file.')
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise PromptError(f"'{name}' is of version {version!r} where {VERSION} is known; update SAM3DSegment.")
    if content.get("frame") != "ras":
        raise PromptError(f"'{name}' has coordinates in the frame {content.get('frame')!r}; save them in \"ras\".")


def _prompt(entry: Any, *, where: str) -> Prompt:
    kind = entry.get("type") if isinstance(entry, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        known = ", ".join(f'"{name}"' for name in _READERS)
        raise PromptError(f"{where} is of the unknown type {kind!r}; it must be one of {known}.")
    return reader(entry, where=where)


def _click(entry: dict[str, Any], *, where: str) -> Click:
    r, a, s = _triple(entry.get("position"), where=f"{where}: its position")
    reach = entry.get("reach_mm")
    if reach is not None and not (is_number(reach) and reach > 0):
        raise PromptError(f'{where} reaches {reach!r}; correct its "reach_mm" to a length in mm, or leave it out.')
    return Click((r, a, s), _sign(entry, where=where), None if reach is None else float(reach))


def _text(entry: dict[str, Any], *, where: str) -> TextPrompt:
    return _made(lambda: TextPrompt(entry.get("text")), where=where)  # type: ignore[arg-type]  # it looks itself


def _sign(entry: dict[str, Any], *, where: str) -> bool:
    positive = entry.get("positive")
    if not isinstance(positive, bool):
        raise PromptError(f'{where} does not say whether it is positive; add "positive": true or false.')
    return positive


def _line(entry: dict[str, Any], *, where: str) -> Line:
    start, end = (_point(entry.get(key), where=f"{where}: its {key}") for key in ("start", "end"))
    return _made(lambda: Line(start, end), where=where)


def _scribble(entry: dict[str, Any], *, where: str) -> Scribble:
    points, positive = _points(entry, where=where), _sign(entry, where=where)
    return _made(lambda: Scribble(points, positive), where=where)


def _lasso(entry: dict[str, Any], *, where: str) -> Lasso:
    points, positive = _points(entry, where=where), _sign(entry, where=where)
    return _made(lambda: Lasso(points, positive), where=where)


def _points(entry: dict[str, Any], *, where: str) -> tuple[Point, ...]:
    points = entry.get("points")
    if not isinstance(points, list) or not points:
        raise PromptError(f"{where} has no list of points; draw it again.")
    return tuple(_point(point, where=f"{where}: point {n}") for n, point in enumerate(points, start=1))


def _point(value: Any, *, where: str) -> Point:
    r, a, s = _triple(value, where=where)
    return r, a, s


def _made(make: Callable[[], Made], *, where: str) -> Made:
    """The prompt, or what is wrong with it and where it stands."""
    try:
        return make()
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from error


def _box(entry: dict[str, Any], *, where: str) -> BoxPrompt:
    center = _triple(entry.get("center"), where=f"{where}: its center")
    size = _triple(entry.get("size"), where=f"{where}: its size")
    edges = entry.get("axes")
    if not isinstance(edges, list) or len(edges) != 3:
        raise PromptError(f"{where}: its axes are not three directions; draw the box again.")
    axes = [_triple(edge, where=f"{where}: an axis") for edge in edges]
    return _made(lambda: BoxPrompt(Box3D(np.array(center), np.array(axes).T, np.array(size))), where=where)


def _triple(value: Any, *, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) != 3 or not all(is_number(part) for part in value):
        raise PromptError(f"{where} is not three finite numbers; correct it or save the prompts again.")
    return [float(part) for part in value]


_READERS: dict[str, Callable[..., Prompt]] = {
    "click": _click,
    "box": _box,
    "line": _line,
    "scribble": _scribble,
    "lasso": _lasso,
    "text": _text,
}
