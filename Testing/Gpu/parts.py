"""Parts of a run, each a process of its own with a time limit: one that fails or hangs does not stop the next."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_TAIL = 40


@dataclass(frozen=True)
class Outcome:
    """How a part ended: `status` is its process's, `lines` the last ones that it said."""

    status: int
    seconds: float
    in_time: bool
    lines: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "status": self.status, "seconds": round(self.seconds, 1), "in_time": self.in_time, "said": self.lines,
        }  # fmt: skip


def run_part(command: Sequence[str], *, limit_s: float, grace_s: float = 20.0) -> Outcome:
    """Run a command and show what it says; at the limit it is asked to end (SIGTERM), and made to after the grace."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    lines: deque[str] = deque(maxlen=_TAIL)
    reader = threading.Thread(target=_show, args=(process, lines), daemon=True)
    reader.start()
    in_time = _waited(process, limit_s)
    if not in_time:
        process.terminate()
        if not _waited(process, grace_s):
            process.kill()
    status = process.wait()
    reader.join(timeout=2)
    return Outcome(status, time.monotonic() - began, in_time, tuple(lines))


def _waited(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process ended within some seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(0.0, seconds))
        return True
    return False


def _show(process: subprocess.Popen[str], lines: deque[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
