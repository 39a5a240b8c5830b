"""`models`: what there is to choose from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from inference_core.cli.parsing import text_file
from inference_core.cli.reporting import check_outputs, table, write_json
from inference_core.models.registry import DEFAULT_MODEL, all_specs
from inference_core.models.spec import Layout, ModelSpec
from inference_core.models.store import installed_path

NAME = "models"
SUMMARY = "list the models"
DESCRIPTION = "List the models: what they take, where they come from, and whether they are on this computer."
EXAMPLES = ""
_SCREEN = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--json", nargs="?", type=text_file, const=_SCREEN, metavar="FILE",
        help="print JSON instead of a table, or write it to a file",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Print the list.

    Raises:
        OutputError: the JSON file cannot be written.
    """
    entries = [_entry(spec) for spec in all_specs()]
    if options.json == _SCREEN:
        print(json.dumps(entries, indent=1))
        return
    if options.json is not None:
        check_outputs(options.json)
        write_json(options.json, entries)
    print(table([("name", "title", "prompts", "size", "installed", "license", "source"), *map(_row, entries)]))


def _entry(spec: ModelSpec) -> dict[str, Any]:
    path, checkpoint = installed_path(spec), spec.checkpoint
    return {
        "name": spec.name,
        "title": spec.title,
        "default": spec.name == DEFAULT_MODEL,
        "prompts": sorted(kind.value for kind in spec.prompt_kinds),
        "prompts_by_session": sorted(kind.value for kind in spec.session_kinds),
        "intensity": spec.intensity.value,
        "clicks": spec.clicks.value if spec.window.layout is Layout.SLICES else None,
        "notes": spec.notes,
        "license": spec.license,
        "size_bytes": path.stat().st_size if path else checkpoint.size_bytes,
        "source": checkpoint.url or checkpoint.page or "bundled",
        "sha256": checkpoint.sha256,
        "paper": spec.paper,
        "installed": path is not None,
        "path": None if path is None else str(path),
    }


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    size = "unknown" if entry["size_bytes"] is None else f"{entry['size_bytes'] / 1e6:.0f} MB"
    installed = "yes" if entry["installed"] else "no"
    name = entry["name"] + (" *" if entry["default"] else "")
    taken = sorted({*entry["prompts"], *entry["prompts_by_session"]})
    return name, entry["title"], ", ".join(taken), size, installed, entry["license"], entry["source"]
