"""How the command line speaks: progress and notes on stderr, results on stdout, JSON whole or not at all."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from inference_core.errors import one_line

_CLEAR_LINE = "\r\x1b[K"


def say(text: str) -> None:
    """Write one line to stderr, in place of a progress line if there is one."""
    start = _CLEAR_LINE if sys.stderr.isatty() else ""
    print(start + one_line(text), file=sys.stderr, flush=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with staged(path, json_text(content)):
        pass


def json_text(content: Any) -> str:
    """What a JSON file holds; a number that is NaN or infinite, which JSON has not, becomes null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


@contextmanager
def staged(path: str | os.PathLike[str] | None, content: str | bytes) -> Iterator[None]:
    """Write a file, a text with a line's end, beside its name at once, and give it the name after the block: with what
    is written in it, or not at all. None stands for a file not asked for.

    Raises:
        OutputError: it cannot be written; the block has not been run then.
    """
    if path is None:
        yield
        return
    from inference_core.io.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
        yield


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def check_outputs(*paths: Path | None) -> None:
    """Refuse early files that cannot be written or that hold an image, and two outputs of one name.

    None stands for one not asked for.

    Raises:
        OutputError: as said.
    """
    from inference_core.errors import OutputError
    from inference_core.io.atomic import check_writable
    from inference_core.io.companions import is_part_of_an_image

    wanted = [path for path in paths if path is not None]
    for n, path in enumerate(wanted):
        if any(os.path.realpath(path) == os.path.realpath(other) for other in wanted[:n]):
            raise OutputError(f"'{path}' is to hold two outputs; give each a name of its own.")
        check_writable(path)
        if is_part_of_an_image(path):
            raise OutputError(f"'{path}' is a part of an image and would be overwritten; choose another name.")


def check_inputs_are_kept(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse outputs that would overwrite what is read; None stands for what is not given.

    Raises:
        UsageError: one would.
    """
    from inference_core.cli.parsing import UsageError
    from inference_core.io.companions import same_file

    sources = [path for path in inputs if path is not None]
    for output in outputs:
        if output is not None and any(same_file(output, source) for source in sources):
            raise UsageError(f"'{output}' is an input and would be overwritten; choose another name for the output.")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first row the titles, as aligned text; a cell's control characters do not reach a terminal."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


class Progress:
    """What is being done, on stderr: one changing line on a terminal, elsewhere a line for each new stage.

    Elsewhere lines are held back until `release`, so that input refused before that leaves the one sentence alone.
    """

    def __init__(self, *, held: bool = False) -> None:
        self._terminal = sys.stderr.isatty()
        self._held: list[str] | None = [] if held else None
        self._seen: set[str] = set()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)

    def show(self, text: str, *, stage: str | None = None) -> None:
        """Show a text; elsewhere than on a terminal only the first text of each stage (by default, each text)."""
        text = one_line(text)
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(_CLEAR_LINE + text[:width], end="", file=sys.stderr, flush=True)
            return
        key = text if stage is None else stage
        if key in self._seen:
            return
        self._seen.add(key)
        if self._held is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._held.append(text)

    def release(self) -> None:
        """Write what was held back, and hold back no more."""
        for text in self._held or ():
            print(text, file=sys.stderr, flush=True)
        self._held = None

    def notify(self, stage: str, fraction: float) -> None:
        """Show what a session or an automatic run does; its first decoding shows that the input is sound."""
        self.show(f"{stage} {fraction:.0%}" if fraction and self._terminal else stage, stage=stage)
        if stage in ("decoding", "classifying"):
            self.release()


class StderrHandler(logging.Handler):
    """Passes the package's own log on to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())
