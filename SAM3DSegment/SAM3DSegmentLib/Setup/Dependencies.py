"""PyTorch and what else the models need, installed into Slicer's Python at first use, after asking.

Slicer starts without any of it. `ready()` says whether a model can run; `ensureInstalled()` makes it so or raises with
one sentence. Declined or failed, the rest of the module stays usable and the next try begins afresh. Pip and its
dialogs belong to the main thread: from another one they have crashed Slicer.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Setup.Advice import explained
from SAM3DSegmentLib.Setup.Computer import Computer, dotted, numbers
from SAM3DSegmentLib.Setup.Preflight import Finding, computationBackend, findings, gpuHint, networkFinding

Versions = Mapping[str, tuple[int, ...]]
# Oldest versions, as in pyproject.toml; never an exact one, since other extensions share these packages.
OLDEST: Versions = {"torch": (2, 6), "safetensors": (0, 4), "SimpleITK": (2, 3)}
# A folder of wheels, for computers that never see a network.
WHEELS_VARIABLE = "SAM3DSEGMENT_WHEELS"

_NAME = "SAM3DSegment"
# Dialogs and pip turn Slicer's event loop, in which a timer may ask again.
_underWay = threading.Lock()
# Packages that were found once; every click asks, and a look costs milliseconds.
_found: set[str] = set()


class DependencyError(RuntimeError):
    """A package is missing; the message is one sentence that says what to do."""


def ready() -> bool:
    """Whether all packages are there. Quick: imports none of them."""
    return not missing()


def missing(wanted: Versions = OLDEST) -> list[str]:
    """The packages that are absent or too old, in the order in which they are to be installed."""
    if not _found.issuperset(wanted):
        importlib.invalidate_caches()
        _found.update(name for name, oldest in wanted.items() if _isNewEnough(name, oldest))
    return [name for name in wanted if name not in _found]


def ensureInstalled(
    notify: Callable[[str], None] | None = None, *, wanted: Versions = OLDEST, purpose: str = ""
) -> None:
    """Install what is missing, after looking whether that can succeed and asking the user. Blocks; main thread only.

    notify(text) is told what is going on, for a status line. wanted: the packages and their oldest versions; purpose:
    what they are for, as a question that has {packages}; those of the models, to segment, where nothing is said.

    Raises:
        DependencyError: the user declined, or it cannot be or was not installed; with what to do.
    """
    assert threading.current_thread() is threading.main_thread(), "pip and its dialogs belong to the main thread"
    needed = missing(wanted)
    if not needed:
        return
    if not _underWay.acquire(blocking=False):
        raise DependencyError(_("The packages are being installed; try again when that is done."))
    try:
        requirements = {name: wanted[name] for name in needed}
        _installAfterAsking(requirements, notify or logging.info, question=purpose or _toSegment())
    finally:
        _underWay.release()
    if missing(wanted):
        raise DependencyError(_("The packages were installed but are not found yet; restart Slicer and try again."))


def unusedGpu() -> str | None:
    """Why PyTorch computes on the CPU although there is an NVIDIA GPU, and what to do; None where nothing is amiss.

    Asks the driver, which takes a moment: for when a model was loaded onto the CPU, not for every click.
    """
    return gpuHint(Computer.here(), torchCuda())


def environmentLines() -> list[str]:
    """Versions and hardware for a report: no names of people, patients or folders."""
    computer = Computer.here()
    versions = ", ".join(f"{name} {_version(name) or 'missing'}" for name in ("numpy", *OLDEST))
    gpu = computer.gpu
    return [
        f"Slicer {getattr(slicer.app, 'applicationVersion', 'unknown')}, {computer.system} {computer.machine}, "
        f"Python {sys.version.split()[0]}",
        f"{versions}, PyTorch's CUDA {torchCuda() or 'none'}",
        f"GPU {gpu.name}, driver {dotted(gpu.driver)}" if gpu else "no NVIDIA GPU",
        f"{computer.freePackages / 2**30:.0f} GB free for packages",
    ]


def torchCuda() -> str | None:
    """The version of CUDA that the installed PyTorch was built for, or None; read from its files, not loaded."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    cuda = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return cuda.group(1) if cuda else None


def _installAfterAsking(needed: Versions, notify: Callable[[str], None], *, question: str) -> None:
    _refuseWhereNothingMayBeInstalled(needed)
    computer = Computer.here()
    found = findings(computer) if "torch" in needed else []
    _refuse(next((finding for finding in found if finding.blocking), None))
    _ask(needed, question=question, remarks=[finding.message for finding in found])
    if not _wheels():
        _refuse(networkFinding())
    _install(needed, computer, notify=notify)


def _isNewEnough(name: str, oldest: tuple[int, ...]) -> bool:
    version = _version(name)
    return importlib.util.find_spec(name) is not None and version is not None and numbers(version) >= oldest


def _version(name: str) -> str | None:
    """The installed version, or None where there is none or its metadata is damaged."""
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, KeyError):
        return None


def _refuseWhereNothingMayBeInstalled(needed: Versions) -> None:
    """While Slicer tests or installs something else, or where PyTorch is there but of no use or cannot be got."""
    names = ", ".join(needed)
    if slicer.app.testingEnabled():
        raise DependencyError(
            _("Missing: {names}. Nothing is installed while Slicer runs tests; install them before.").format(
                names=names
            )
        )
    packaging = _packaging()
    if packaging is not None and packaging.isPipInstallInProgress():
        raise DependencyError(_("Slicer is installing other packages just now; try again when that is done."))
    if "torch" not in needed:
        return
    if importlib.util.find_spec("torch") is not None:
        raise DependencyError(
            _(
                "The PyTorch in Slicer is older than {oldest} or damaged ({version}); uninstall it in the module "
                "'PyTorch Utils', restart Slicer and try again."
            ).format(oldest=dotted(OLDEST["torch"]), version=_version("torch") or _("no version"))
        )
    if not _wheels():
        _pyTorchUtils()


def _refuse(finding: Finding | None) -> None:
    if finding is not None:
        raise DependencyError(finding.message)


def _toSegment() -> str:
    return _(
        "To segment, SAM3DSegment needs these Python packages in Slicer: {packages}. They are fetched from the "
        "internet once, up to some GB, which takes some minutes; no image is sent anywhere."
    )


def _ask(needed: Versions, *, question: str, remarks: list[str]) -> None:
    names = ", ".join(needed)
    asked = question.format(packages=names)
    if not slicer.util.confirmOkCancelDisplay("\n\n".join([asked, *remarks]), windowTitle=_NAME):
        raise DependencyError(
            _("This needs {packages}, which were not installed; you will be asked again at the next try.").format(
                packages=names
            )
        )


def _install(needed: Versions, computer: Computer, *, notify: Callable[[str], None]) -> None:
    with _recorded() as log:
        try:
            if "torch" in needed and not _wheels():
                notify(_("Installing PyTorch; this takes some minutes."))
                _installTorch(computer)
            others = [f"{name}>={dotted(needed[name])}" for name in needed if name != "torch" or _wheels()]
            if others:
                notify(_("Installing {packages}.").format(packages=", ".join(others)))
                _pip(others)
        except (subprocess.SubprocessError, ImportError, OSError, RuntimeError, ValueError) as error:
            logging.exception("Installing %s failed", ", ".join(needed))
            raise DependencyError(explained(error, log.getvalue())) from error


def _pyTorchUtils() -> Any:
    """The module of Slicer's extension PyTorch, which knows which build fits the driver."""
    try:
        return importlib.import_module("PyTorchUtils")
    except ModuleNotFoundError as error:
        raise DependencyError(
            _("Install the extension 'PyTorch' in the Extensions Manager, restart Slicer and try again.")
        ) from error


def _installTorch(computer: Computer) -> None:
    _pyTorchUtils().PyTorchUtilsLogic().installTorch(
        askConfirmation=False,
        forceComputationBackend=computationBackend(computer),
        torchVersionRequirement=f">={dotted(OLDEST['torch'])}",
    )


def _pip(requirements: list[str]) -> None:
    """Slicer's own installer, with its progress dialog where it has one; or pip on a folder of wheels."""
    packaging = _packaging()
    if _wheels():
        slicer.util.pip_install(["--no-index", "--find-links", _wheels(), *requirements])
    elif packaging is not None:
        packaging.pip_ensure(requirements, requester=_NAME, prompt_install=False)
    else:
        slicer.util.pip_install(requirements)


def _packaging() -> Any:
    """`slicer.packaging`, or None before Slicer 5.12."""
    try:
        return importlib.import_module("slicer.packaging")
    except ModuleNotFoundError:
        return None


def _wheels() -> str:
    return os.environ.get(WHEELS_VARIABLE, "")


@contextlib.contextmanager
def _recorded() -> Iterator[io.StringIO]:
    """What is printed meanwhile, which is where Slicer leaves pip's words; it is still printed as well."""
    log, printed = io.StringIO(), sys.stdout

    class Both(io.TextIOBase):
        def write(self, text: str) -> int:
            printed.write(text)
            return log.write(text)

    with contextlib.redirect_stdout(Both()):
        yield log
