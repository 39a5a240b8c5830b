"""What the check of a file found, remembered by its sha256: running the networks anew would take seconds a load."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from inference_core.errors import OutputError
from inference_core.io.atomic import replacing
from inference_core.models.sam3d_adapter.self_check import OrderCheck
from inference_core.models.store import models_dir
from inference_core.models.weights import sha256_of

_FILE = "sam3d_adapter_checks.json"


def remembered_check(weights: Path, check: Callable[[], OrderCheck]) -> OrderCheck:
    """What `check` finds for a weights file, found once: kept in the folder of the user's weights, if it can be."""
    notes = models_dir() / _FILE
    known, digest = _read(notes), sha256_of(weights)
    if digest in known:
        return known[digest]
    found = check()
    _write(notes, {**known, digest: found})
    return found


def _read(notes: Path) -> dict[str, OrderCheck]:
    try:
        entries = json.loads(notes.read_text(encoding="utf-8"))
        return {digest: OrderCheck(float(o["published"]), float(o["reversed"])) for digest, o in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(notes: Path, checks: dict[str, OrderCheck]) -> None:
    try:
        notes.parent.mkdir(parents=True, exist_ok=True)
        with replacing(notes) as temporary:
            temporary.write_text(json.dumps({digest: asdict(c) for digest, c in checks.items()}), encoding="utf-8")
    except (OSError, OutputError):
        return  # found again next time
