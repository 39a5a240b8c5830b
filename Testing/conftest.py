"""Which tests stay together when several processes share them: those of a file, and all of the module."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group for `--dist loadgroup`."""
    for item in items:
        path = item.path.relative_to(_HERE)
        item.add_marker(pytest.mark.xdist_group("module" if path.parts[0] == "Slicer" else path.as_posix()))
