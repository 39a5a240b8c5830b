"""The command line's entry: one parser, one sub-command per file, one place where failures become exit codes.

0: done. 1: a mistake of ours. 2: the input or the arguments cannot be used, said in one sentence. 130: Ctrl-C.
143: ended by SIGTERM, as a batch system does; what was begun is cleaned up as after Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from inference_core import __version__
from inference_core.cli import (
    adapt,
    batch,
    benchmark,
    compare,
    data,
    demo,
    download,
    evaluate,
    export,
    followup,
    measure,
    models,
    segment,
    series,
    timeline,
    train,
)
from inference_core.cli.parsing import Parser, add_debug, shielded
from inference_core.cli.remedies import told
from inference_core.cli.reporting import StderrHandler, say
from inference_core.errors import SAM3DError

INTERRUPTED, TERMINATED = 130, 143
_COMMANDS = (
    segment,
    batch,
    measure,
    export,
    followup,
    timeline,
    compare,
    series,
    evaluate,
    models,
    download,
    benchmark,
    demo,
    data,
    train,
    adapt,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `argv` is without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a series description may not fit a Windows console
    try:
        with _interruptible(), _quiet(debug):
            return _run(arguments)
    except SystemExit as done:  # argparse, after --help and --version
        return int(done.code or 0)
    except Terminated:
        say("Ended from outside; nothing was left half-written.")
        return TERMINATED
    except KeyboardInterrupt:
        say("Stopped; nothing was left half-written.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - a clinician gets a sentence, a developer --debug
        return _failed(error, debug=debug)


def build_parser() -> Parser:
    """The parser of all sub-commands."""
    parser = Parser(
        prog="sam3dsegment",
        description="Segment 3D medical images from clicks and boxes: masks out, on the image's own voxels.",
        epilog="Coordinates are millimeters in the patient's right-anterior-superior frame, as Slicer shows them.",
    )
    parser.add_argument("--version", action="version", version=f"sam3dsegment {__version__}")
    add_debug(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        own = getattr(module, "OWN_OPTIONS", False)
        command = commands.add_parser(
            module.NAME, help=module.SUMMARY, description=module.DESCRIPTION, epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter, add_help=not own,
        )  # fmt: skip
        add_debug(command)
        module.add_arguments(command)
        command.set_defaults(run=module.run, own_options=own, command=command)
    return parser


def _run(arguments: list[str]) -> int:
    options, options_of_its_own = build_parser().parse_known_args(shielded(arguments))
    if options_of_its_own and not options.own_options:
        options.command.error(f"unrecognized arguments: {' '.join(options_of_its_own)}")
    options.rest = options_of_its_own
    options.run(options)
    sys.stdout.flush()
    return 0


def _failed(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, SAM3DError):
        say(told(error))
        return 2
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        say("The memory ran out; close other programs, use --device cpu or crop the image.")
        return 2
    if isinstance(error, OSError):
        where = "A file" if error.filename is None else f"'{error.filename}'"
        say(f"{where} cannot be used ({error.strerror or error}); check the path, its permissions and the disk.")
        return 2
    what = str(error) or "no message"
    say(f"Something went wrong that should not ({type(error).__name__}: {what}); run again with --debug and report it.")
    return 1


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whatever cleans up after Ctrl-C does so after this."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise here, even where a library has turned them into an error of its own."""
    raised: list[type[BaseException]] = []

    def stopping(what: type[BaseException]) -> Any:
        def stop(_signal: int, _frame: FrameType | None) -> None:
            raised.append(what)
            raise what

        return stop

    earlier = [
        (number, _set_handler(number, stopping(what)))
        for number, what in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated))
    ]
    try:
        yield
    except Exception as error:
        if raised:
            raise raised[0] from error
        raise
    finally:
        for number, handler in earlier:
            _set_handler(number, handler)


def _set_handler(number: int, handler: Any) -> Any:
    try:
        return signal.signal(number, handler)
    except (ValueError, TypeError):  # not in the main thread, or the handler before was none of Python's
        return None


@contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """Send the package's own notes to stderr, and keep the libraries' warnings from it."""
    logger, handler = logging.getLogger("inference_core"), StderrHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
