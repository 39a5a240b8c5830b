"""`download`: fetch a model's weights. This command is the only thing in the package that uses the network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference_core.cli.reporting import Progress, say
from inference_core.errors import Cancelled, DownloadError
from inference_core.io.opening import is_regular_file
from inference_core.models.registry import get_spec
from inference_core.models.spec import ModelSpec
from inference_core.models.store import installed_path

NAME = "download"
SUMMARY = "fetch a model's weights"
DESCRIPTION = "Fetch a model's weights by URL, going on where an earlier fetch stopped, or take them from a file."
EXAMPLES = """examples:
  sam3dsegment download sam_med3d
  sam3dsegment download sam_med3d --from ~/Downloads/sam_med3d_turbo.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a name that `models` lists")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a file fetched in another way")
    parser.add_argument("--yes", action="store_true", help="do not ask before fetching")


def run(options: argparse.Namespace) -> None:
    """Put the weights into their folder and print where they are.

    Raises:
        ModelError: there is no such model.
        DownloadError: the weights could not be fetched or verified.
        Cancelled: the user answered no.
    """
    from inference_core.models.download import download

    spec = get_spec(options.name)
    installed = installed_path(spec)
    if installed is not None and options.source is None:
        print(f"{spec.title} is installed already: {installed}")
        return
    _check_source(spec, options.source)
    say(_offer(spec, options.source))
    if options.source is None and not options.yes:
        _ask()
    with Progress() as progress:
        got = download(spec, source=options.source, progress=lambda done, total: _show(progress, done, total))
    print(f"weights  {got.path}")
    print(f"sha256   {got.sha256}")
    print("verified against the published sha256" if got.verified else "not verified: no sha256 is published for it")


def _check_source(spec: ModelSpec, source: Path | None) -> None:
    if source is None and spec.checkpoint.url is None:
        from inference_core.models.download import no_address

        raise DownloadError(no_address(spec))
    if source is not None and not is_regular_file(source):
        raise DownloadError(f"There is no file '{source}'; give the path of the weights.")


def _offer(spec: ModelSpec, source: Path | None) -> str:
    size = spec.checkpoint.size_bytes
    amount = "of unknown size" if size is None else f"about {size / 1e6:.0f} MB"
    return f"{spec.title} ({amount}; license: {spec.license}) from {source or spec.checkpoint.url}"


def _ask() -> None:
    """Ask whoever sits at a terminal; to have typed the command is word enough elsewhere."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    print("Fetch it now? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Cancelled("Nothing was fetched; answer y, or give --yes, to fetch it.")


def _show(progress: Progress, done: int, total: int | None) -> None:
    if total:
        tenth = f"{10 * (10 * done // total)} %"
        progress.show(f"{done / 1e6:.1f} of {total / 1e6:.1f} MB ({done / total:.0%})", stage=tenth)
    else:
        progress.show(f"{done / 1e6:.1f} MB", stage=str(done // 50_000_000))
