"""Switches of the panel that are a matter of the user and kept in Slicer's settings; on, until one is switched off."""

import qt


def isOn(setting: str) -> bool:
    """Whether a switch is on; some platforms keep it as text."""
    return str(qt.QSettings().value(setting, "true")).lower() == "true"


def remember(setting: str, on: bool) -> None:
    """Keep a switch as it is now."""
    qt.QSettings().setValue(setting, "true" if on else "false")
