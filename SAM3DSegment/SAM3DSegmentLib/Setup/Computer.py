"""What this computer has to offer PyTorch: disk space, rights, an NVIDIA GPU and its driver. Changes nothing."""

import csv
import importlib
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The oldest driver for each major version of CUDA; NVIDIA's release notes, "minor version compatibility".
_OLDEST_DRIVER = {
    "Linux": {11: (450, 80), 12: (525, 60), 13: (580, 0)},
    "Windows": {11: (452, 39), 12: (528, 33), 13: (580, 0)},
}


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: its driver's version, such as (535, 104), and its compute capability, such as (8, 6)."""

    name: str
    driver: tuple[int, ...]
    capability: tuple[int, ...]


@dataclass(frozen=True)
class Computer:
    """What decides whether PyTorch can be installed, and which; so that it can also be tried for other computers.

    packages is the folder of Slicer's Python packages; downloads pass through the folder for temporary files, which may
    be on the same drive. Free space in bytes.
    """

    system: str
    machine: str
    packages: Path
    freePackages: int
    freeDownloads: int
    sameDrive: bool
    writable: bool
    longPaths: bool
    gpu: Gpu | None

    @classmethod
    def here(cls) -> "Computer":
        """This computer, as Slicer's Python sees it."""
        packages, downloads = Path(sysconfig.get_paths()["purelib"]), Path(tempfile.gettempdir())
        return cls(
            system=platform.system(),
            machine=platform.machine(),
            packages=packages,
            freePackages=shutil.disk_usage(packages).free,
            freeDownloads=shutil.disk_usage(downloads).free,
            sameDrive=packages.stat().st_dev == downloads.stat().st_dev,
            writable=os.access(packages, os.W_OK),
            longPaths=_longPathsEnabled(),
            gpu=nvidiaGpu(),
        )

    def cudaMajor(self) -> int | None:
        """The newest major version of CUDA that the GPU's driver runs, or None where PyTorch can only use the CPU."""
        if self.gpu is None:
            return None
        oldest = _OLDEST_DRIVER.get(self.system, {})
        return max((major for major, driver in oldest.items() if self.gpu.driver >= driver), default=None)


def nvidiaGpu() -> Gpu | None:
    """The first NVIDIA GPU that its driver names, or None without one. An old driver knows no compute capability."""
    fields = _askDriver("name,driver_version,compute_cap") or _askDriver("name,driver_version")
    if len(fields) < 2:
        return None
    return Gpu(fields[0], numbers(fields[1]), numbers(fields[2]) if len(fields) > 2 else ())


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" is (2, 13, 0); what has none is ()."""
    found = re.match(r"\d+(\.\d+)*", version.strip())
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def dotted(version: tuple[int, ...]) -> str:
    """A version in words again: (535, 104) is "535.104"."""
    return ".".join(str(part) for part in version)


def _askDriver(fields: str) -> list[str]:
    """The driver's answer for the first GPU, or [] where there is no driver or it does not know a field."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    # Without this, Windows flashes a console window over Slicer.
    hidden: dict[str, Any] = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, env=_environment(), **hidden
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return next(csv.reader(answer.splitlines(), skipinitialspace=True), [])


def _environment() -> dict[str, str] | None:
    """What programs that are not Slicer's run in: its libraries would be loaded into them. None for the usual one."""
    import slicer

    startup = getattr(slicer.util, "startupEnvironment", None)
    return startup() if startup is not None and hasattr(slicer.app, "startupEnvironment") else None


def _longPathsEnabled() -> bool:
    """Whether Windows takes paths of more than 259 characters; elsewhere there is no such limit."""
    if platform.system() != "Windows":
        return True
    winreg: Any = importlib.import_module("winreg")  # not there elsewhere

    place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
