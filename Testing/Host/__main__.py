"""`make app`: the module in the host, to be tried without Slicer.

With a display a window opens. Without one, or with --out, a short tour runs, writes pictures and ends.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_OUT = Path("app_output")
MISSING = (
    "The host needs the packages slicer-core and PySide6-Essentials, which `make setup` installs for Python 3.11 on "
    "64-bit Linux: run `make clean setup PYTHON=python3.11` there."
)


def main():
    arguments = _arguments()
    hasDisplay = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if arguments.input is not None and not arguments.input.exists():
        sys.stderr.write(f"There is no file or folder {arguments.input}.\n")
        return 1
    isTour = arguments.measure or arguments.out is not None or not hasDisplay
    if isTour:
        os.environ.pop("DISPLAY", None)
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    sys.path[:0] = [str(ROOT / "SAM3DSegment"), str(ROOT)]
    try:
        from Host.user import User
    except ImportError as error:
        if error.name not in ("slicer", "PySide6", "vtk"):
            raise
        sys.stderr.write(MISSING + "\n")
        return 2
    user = User(testing=isTour)
    if arguments.measure:
        return _runMeasuring(user)
    return _runTour(user, arguments) if isTour else _runWindow(user, arguments)


def _arguments():
    parser = argparse.ArgumentParser(prog="make app", description=__doc__)
    parser.add_argument("--input", type=Path, help="DICOM folder, volume file or scene instead of the sample")
    parser.add_argument("--click", type=float, nargs=3, metavar=("R", "A", "S"), help="where the tour clicks, in mm")
    parser.add_argument("--out", type=Path, help="run the tour and write its pictures to this folder")
    parser.add_argument("--measure", action="store_true", help="measure speed and memory instead (`make measure`)")
    return parser.parse_args()


def _runMeasuring(user):
    from Host.measuring import Measuring

    user.sitDown()
    user.openModule()
    try:
        Measuring(user).run()
    finally:
        user.leave()
    return 0


def _runTour(user, arguments):
    from Host.tour import Tour, TourError

    out = arguments.out or DEFAULT_OUT
    user.sitDown()
    user.openModule()
    try:
        Tour(user, out, inputPath=arguments.input, target=arguments.click and tuple(arguments.click)).run()
    except TourError as error:
        sys.stderr.write(f"The tour stopped: {error}.\n")
        return 1
    finally:
        user.leave()
    sys.stdout.write(f"Every step did what it said. The pictures and the scene are in {out}.\n")
    return 0


def _runWindow(user, arguments):
    from Host.opening import openInput

    user.openModule(firstTime=True)
    if arguments.input is not None:
        user.panel.ui.volumeSelector.setCurrentNode(openInput(arguments.input))
    else:
        user.panel.ui.sampleButton.click()
    code = user.app.run()
    user.closeModule()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
