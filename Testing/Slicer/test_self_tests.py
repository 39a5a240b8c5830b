"""The self-tests that Slicer runs, run here in the host, so that they are known to work before they get there."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SELF_TESTS = ROOT / "Testing" / "Slicer" / "SelfTests"
# As `Slicer --testing --python-code "slicer.testing.runUnitTest([folder], name)"` does.
RUN = """
import sys, unittest
if sys.argv[1] == "SAM3DSegmentPanelTest":
    from Host.application import startApplication
    startApplication().moduleManager().loadModule(sys.argv[2])
else:
    from Host.scene import bootScene
    bootScene()
suite = unittest.TestLoader().loadTestsFromName(sys.argv[1])
sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
"""


@pytest.mark.skipif(
    find_spec("slicer_core") is None or find_spec("PySide6") is None, reason="slicer-core or PySide6 is not installed"
)
@pytest.mark.parametrize("name", sorted(path.stem for path in SELF_TESTS.glob("SAM3DSegment*Test.py")))
def test_a_self_test_passes_in_the_host(name):
    folders = [SELF_TESTS, ROOT / "SAM3DSegment", ROOT / "Testing", ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-c", RUN, name, ROOT / "SAM3DSegment" / "SAM3DSegment.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 0 tests" not in done.stderr
