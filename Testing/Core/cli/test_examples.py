"""Every command line that --help, the README and the documentation show is one that the program takes."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_core.cli.main import build_parser
from inference_core.cli.parsing import shielded
from inference_core.cli.train import parsed

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "sam3dsegment "


def examples() -> Iterator[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "Resources" / "Docs").glob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for text in (*texts, *(parser.epilog or "" for parser in commands(build_parser()))):
        for line in text.replace("\\\n", " ").splitlines():
            if line.lstrip().startswith(PROGRAM):
                yield line.strip().removeprefix(PROGRAM).split(" > ")[0]


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_an_example_is_taken(line, tmp_path, monkeypatch):
    arguments = shlex.split(line, comments=True)
    if "--help" in arguments:
        return
    options, rest = build_parser().parse_known_args(shielded(arguments))
    if options.own_options:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "run.json").write_text('{"output": "run"}', encoding="utf-8")
        parsed(rest)
    else:
        assert rest == []
