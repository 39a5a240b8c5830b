"""Help comes at once, and Ctrl-C ends any stage with exit code 130 and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inference_core.cli.main import build_parser, main

CLICK = ("--click", "-6", "14", "-205")

LOADING = "import inference_core.cli.segment as stage\ndef wait(*_, **__): {wait}\nstage.load = wait"
IMPORTING = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            {wait}
sys.meta_path.insert(0, Finder())
"""
SWALLOWED = """
import inference_core.cli.segment as stage
def wait(*_, **__):
    try:
        {wait}
    except KeyboardInterrupt:
        raise RuntimeError("a library's own idea of an interruption")
stage.load = wait
"""
WRITING = """
import inference_core.io.files as files
def write(path, array, grid):
    path.write_bytes(b"half")
    {wait}
files.write_nifti = write
"""
WAIT = "print('waiting', flush=True); import time; time.sleep(60)"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to another process")
@pytest.mark.parametrize("stage", [LOADING, IMPORTING, SWALLOWED, WRITING], ids=["load", "import", "swallow", "write"])
def test_ctrl_c_ends_with_130_and_leaves_nothing(a_ct, a_small_model, tmp_path, an_environment, stage) -> None:
    outputs = ("--output", tmp_path / "mask.nii.gz", "--json", tmp_path / "report.json")
    arguments = ["segment", a_ct, *outputs, *a_small_model, "--window", "60", *CLICK]
    program = stage.format(wait=WAIT) + "\nimport sys\nfrom inference_core.cli.main import main\nsys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=an_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["--version"]])
def test_help_comes_at_once(run, an_environment, arguments) -> None:
    """In half a second here; on a slower computer, in twice the time that Python and NumPy alone need to start."""
    seconds, of_numpy = [], []
    for _ in range(3):
        started = time.perf_counter()
        done = run(*arguments)
        between = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy"], env=an_environment, check=True)
        seconds.append(between - started)
        of_numpy.append(time.perf_counter() - between)
        assert done.returncode == 0
        assert done.stderr == ""

    assert min(seconds) < max(0.5, 2 * min(of_numpy)), (seconds, of_numpy)


def test_help_imports_nothing_heavy(an_environment) -> None:
    program = (
        "import sys; from inference_core.cli.main import build_parser; build_parser();"
        "print([name for name in ('numpy', 'torch', 'SimpleITK', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=an_environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_a_refused_click_costs_no_loading_of_torch(an_environment, a_ct, unread_weights, tmp_path) -> None:
    program = (
        "import sys; from inference_core.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, 'torch' in sys.modules)"
    )
    arguments = ["segment", a_ct, "--output", tmp_path / "m.nii.gz", "--weights", unread_weights, "--click", 900, 0, 0]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=an_environment, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "2 False\n"


def test_a_reader_that_leaves_early_is_no_error(an_environment) -> None:
    command = f"{sys.executable} -m inference_core models | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; sleep 0; {command}"], env=an_environment,
                          capture_output=True, text=True, check=False)  # fmt: skip

    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.returncode == 0


def test_main_returns_its_status_and_puts_the_signal_handler_back(capsys) -> None:
    before = signal.getsignal(signal.SIGINT)

    assert main(["--version"]) == 0
    assert main(["nonsense"]) == 2
    assert signal.getsignal(signal.SIGINT) is before
    assert "Traceback" not in capsys.readouterr().err


def test_the_console_script_is_main() -> None:
    project = Path(__file__).resolve().parents[3] / "pyproject.toml"

    assert 'sam3dsegment = "inference_core.cli.main:main"' in project.read_text()
    assert build_parser().prog == "sam3dsegment"
