"""Whether this computer runs on its battery, for work that may as well be left."""

import ctypes
import platform
import subprocess
import time
from pathlib import Path

_SUPPLIES = Path("/sys/class/power_supply")
# The plug is not looked at more often; asking takes milliseconds.
_KNOWN_SECONDS = 30.0


class Power:
    """Asks the system now and then. Where it does not tell, the computer is taken to be plugged in."""

    def __init__(self) -> None:
        self._asked, self._onBattery = float("-inf"), False

    @property
    def onBattery(self) -> bool:
        """Whether the computer runs on its battery, as of half a minute ago at most."""
        now = time.monotonic()
        if now - self._asked > _KNOWN_SECONDS:
            self._asked, self._onBattery = now, runsOnBattery()
        return self._onBattery


def runsOnBattery() -> bool:
    """Whether the system says that its battery is being emptied."""
    asked = {"Linux": _onLinux, "Windows": _onWindows, "Darwin": _onMac}.get(platform.system())
    try:
        return asked is not None and asked()
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
        return False


def _onLinux() -> bool:
    """The mains are the last word where they are told of; a mouse has a battery too, whose scope is "Device"."""
    supplies = [folder for folder in _SUPPLIES.glob("*") if _word(folder / "scope") != "Device"]
    mains = [_word(folder / "online") for folder in supplies if _word(folder / "type") in ("Mains", "USB")]
    if "1" in mains:
        return False
    return any(_word(folder / "status") == "Discharging" for folder in supplies if _word(folder / "type") == "Battery")


def _onWindows() -> bool:
    class Status(ctypes.Structure):
        _fields_ = (("ACLineStatus", ctypes.c_ubyte), ("rest", ctypes.c_ubyte * 11))

    status, kernel = Status(), getattr(ctypes, "windll").kernel32  # noqa: B009 - there on Windows only
    return bool(kernel.GetSystemPowerStatus(ctypes.byref(status))) and status.ACLineStatus == 0


def _onMac() -> bool:
    command = ["/usr/bin/pmset", "-g", "batt"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True)
    return "Battery Power" in told.stdout.partition("\n")[0]


def _word(file: Path) -> str:
    return file.read_text(encoding="ascii", errors="replace").strip() if file.is_file() else ""
