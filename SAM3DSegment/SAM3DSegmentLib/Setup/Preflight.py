"""What stands in the way of installing PyTorch, said before gigabytes are fetched; each finding is one sentence.

Pure conclusions from a `Computer`; only `networkFinding` goes out, and is to be asked after the user agreed.
"""

import os
import socket
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from slicer.i18n import tr as _

from SAM3DSegmentLib.Setup.Computer import Computer, dotted, numbers

GB = 2**30
# On Linux, PyTorch 2.13 for the CPU takes 0.75 GB (measured); with CUDA about 7 GB (estimated). Downloads come on top.
_ROOM_CPU, _DOWNLOAD_CPU = 1.5 * GB, 0.5 * GB
_ROOM_CUDA, _DOWNLOAD_CUDA = 8 * GB, 3.5 * GB
# The longest path in PyTorch 2.13's wheel has 119 characters; Windows takes 259 in all.
_LONGEST_TORCH_PATH, _WINDOWS_PATH_LIMIT = 119, 259
# Blackwell (compute capability 10 and 12) is known to PyTorch from its builds for CUDA 12.8 on.
_BLACKWELL, _BLACKWELL_BACKEND = (10, 0), "cu128"
_PACKAGE_SERVER = ("pypi.org", 443)
_OTHER_SOURCES = ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE")


@dataclass(frozen=True)
class Finding:
    """One sentence for the user; a blocking one means that an installation would fail."""

    message: str
    blocking: bool


def findings(computer: Computer) -> list[Finding]:
    """What keeps PyTorch from being installed on a computer, or from being fast there."""
    checks = (_notWritable, _intelMac, _noRoom, _longPath, _oldDriver, _roomForCpuOnly)
    return [finding for check in checks if (finding := check(computer)) is not None]


def computationBackend(computer: Computer) -> str | None:
    """Which build of PyTorch to ask PyTorchUtils for, such as "cpu"; None leaves the choice to it."""
    if computer.gpu is None or computer.cudaMajor() is None:
        return None
    if _lacksRoom(computer, cuda=True):
        return "cpu"
    return _BLACKWELL_BACKEND if computer.gpu.capability >= _BLACKWELL else None


def networkFinding() -> Finding | None:
    """Why packages cannot be fetched, or None. Opens one connection and sends nothing over it.

    Where pip was told to take packages from elsewhere, nothing is tried: only pip knows whether that works.
    """
    if any(os.environ.get(name) for name in _OTHER_SOURCES):
        return None
    proxy = _proxy()
    if _answers(proxy or _PACKAGE_SERVER):
        return None
    if proxy is not None:
        message = _(
            "The proxy {server}, which this computer names for the internet, does not answer; ask your IT department "
            "for the right address and start Slicer with HTTPS_PROXY set to it."
        ).format(server=f"{proxy[0]}:{proxy[1]}")
    else:
        message = _(
            "This computer cannot reach {server}, from where PyTorch is installed; connect it to the internet, or ask "
            "your IT department for the proxy's address and start Slicer with HTTPS_PROXY set to it."
        ).format(server=_PACKAGE_SERVER[0])
    return Finding(message, blocking=True)


def gpuHint(computer: Computer, torchCuda: str | None) -> str | None:
    """Why an installed PyTorch, built for CUDA `torchCuda` or for none, leaves the NVIDIA GPU unused; or None."""
    if computer.gpu is None:
        return None
    if torchCuda is None:
        return _(
            "The {gpu} is not used, because PyTorch was installed without CUDA; to use it, uninstall PyTorch in the "
            "module 'PyTorch Utils', restart Slicer and install it again."
        ).format(gpu=computer.gpu.name)
    if (computer.cudaMajor() or 0) < numbers(torchCuda)[0]:
        return _(
            "The {gpu} is not used, because its driver {driver} is too old for PyTorch's CUDA {cuda}; update NVIDIA's "
            "driver and restart Slicer."
        ).format(gpu=computer.gpu.name, driver=dotted(computer.gpu.driver), cuda=torchCuda)
    return None


def _lacksRoom(computer: Computer, *, cuda: bool) -> bool:
    """Whether PyTorch, with CUDA or without, does not fit on the disk."""
    room, download = (_ROOM_CUDA, _DOWNLOAD_CUDA) if cuda else (_ROOM_CPU, _DOWNLOAD_CPU)
    if computer.sameDrive:
        return computer.freePackages < room + download
    return computer.freePackages < room or computer.freeDownloads < download


def _notWritable(computer: Computer) -> Finding | None:
    if computer.writable:
        return None
    message = _(
        "You may not write into Slicer's folder, so PyTorch cannot be installed there; ask your IT department to "
        "install it, or install Slicer for yourself alone, which needs no administrator."
    )
    return Finding(message, blocking=True)


def _intelMac(computer: Computer) -> Finding | None:
    if (computer.system, computer.machine) != ("Darwin", "x86_64"):
        return None
    message = _(
        "This Slicer is the Intel build for macOS, for which there is no PyTorch 2.6 or newer; use a Slicer built for "
        "Apple silicon, or Slicer on Windows or Linux."
    )
    return Finding(message, blocking=True)


def _noRoom(computer: Computer) -> Finding | None:
    if not _lacksRoom(computer, cuda=False):
        return None
    free = computer.freePackages if computer.sameDrive else min(computer.freePackages, computer.freeDownloads)
    message = _(
        "PyTorch needs {needed:.0f} GB of free disk space and there is {free:.1f} GB; free some space on the drive of "
        "Slicer's folder and of temporary files, and try again."
    ).format(needed=(_ROOM_CPU + _DOWNLOAD_CPU) / GB, free=free / GB)
    return Finding(message, blocking=True)


def _longPath(computer: Computer) -> Finding | None:
    if computer.system != "Windows" or computer.longPaths:
        return None
    if len(str(computer.packages)) + 1 + _LONGEST_TORCH_PATH <= _WINDOWS_PATH_LIMIT:
        return None
    message = _(
        "Slicer lies in a folder whose name is too long for PyTorch on Windows; install Slicer into a short one, such "
        "as C:\\Slicer, or have your IT department turn on long paths."
    )
    return Finding(message, blocking=True)


def _oldDriver(computer: Computer) -> Finding | None:
    if computer.gpu is None or (computer.cudaMajor() or 0) >= 12:
        return None
    message = _(
        "The driver {driver} of the {gpu} is too old for today's PyTorch, so that an older one or the CPU will be "
        "used; better update NVIDIA's driver first."
    ).format(driver=dotted(computer.gpu.driver), gpu=computer.gpu.name)
    return Finding(message, blocking=False)


def _roomForCpuOnly(computer: Computer) -> Finding | None:
    if computer.gpu is None or computationBackend(computer) != "cpu" or _lacksRoom(computer, cuda=False):
        return None
    message = _(
        "There are not {needed:.0f} GB of free disk space for PyTorch with CUDA, so the slower one for the CPU will be "
        "installed; to use the {gpu}, free some space first."
    ).format(needed=(_ROOM_CUDA + _DOWNLOAD_CUDA) / GB, gpu=computer.gpu.name)
    return Finding(message, blocking=False)


def _proxy() -> tuple[str, int] | None:
    """Host and port of the proxy for https, from the environment or the system's settings; never its password."""
    address = urllib.request.getproxies().get("https")
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        return (parts.hostname, parts.port or 80) if parts.hostname else None
    except ValueError:  # its port is no number
        return None


def _answers(server: tuple[str, int]) -> bool:
    try:
        socket.create_connection(server, timeout=5).close()
    except OSError:
        return False
    return True
