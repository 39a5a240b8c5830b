"""What is said about a computer before PyTorch is installed on it: computers that are not at hand, as tables."""

import importlib
import os
import subprocess
import types
from pathlib import PureWindowsPath

import pytest
from support.fake_slicer import FakeSlicer, forget_library, gpu, plain_computer, put_in_place

GB = 2**30
SHORT = PureWindowsPath("C:/Slicer/lib/Python/Lib/site-packages")
LONG = PureWindowsPath("C:/Users/somebody/AppData/Local/a department and its projects/Imaging research/software") / (
    "of this year/Slicer 5.12.3/lib/Python/Lib/site-packages"
)


@pytest.fixture
def the_preflight(monkeypatch):
    """The module under test; no variable of pip's or of a proxy's is set."""
    for variable in [name for name in os.environ if name.upper().startswith("PIP_") or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(variable)
    put_in_place(FakeSlicer(), monkeypatch)
    yield importlib.import_module("SAM3DSegmentLib.Setup.Preflight")
    forget_library()


@pytest.mark.parametrize(
    ("facts", "driver", "blocking", "words"),
    [
        ({}, None, None, None),
        ({}, (560, 35), None, None),
        ({"writable": False}, None, True, "IT department"),
        ({"system": "Darwin", "machine": "x86_64"}, None, True, "Apple silicon"),
        ({"system": "Darwin", "machine": "arm64"}, None, None, None),
        ({"freePackages": 1.9 * GB}, None, True, "there is 1.9 GB"),
        ({"freePackages": 2.1 * GB}, None, None, None),
        ({"sameDrive": False, "freeDownloads": 0.4 * GB}, None, True, "there is 0.4 GB"),
        ({"sameDrive": False, "freePackages": 1.6 * GB, "freeDownloads": 0.6 * GB}, None, None, None),
        ({"system": "Windows", "packages": LONG, "longPaths": False}, None, True, "C:\\Slicer"),
        ({"system": "Windows", "packages": LONG, "longPaths": True}, None, None, None),
        ({"system": "Windows", "packages": SHORT, "longPaths": False}, None, None, None),
        ({"packages": LONG, "longPaths": False}, None, None, None),
        ({}, (470, 82), False, "driver 470.82"),
        ({}, (525, 60), None, None),
        ({"system": "Windows"}, (527, 0), False, "driver 527.0"),
        ({"freePackages": 5 * GB}, (560, 35), False, "the slower one for the CPU"),
        ({"freePackages": 5 * GB}, None, None, None),
    ],
)
def test_a_computer_is_judged(the_preflight, facts, driver, blocking, words):
    found = the_preflight.findings(plain_computer(gpu=gpu(driver) if driver else None, **facts))
    if words is None:
        assert not found
        return
    assert [finding.blocking for finding in found] == [blocking]
    assert words in found[0].message
    assert found[0].message.endswith("."), "a sentence"


@pytest.mark.parametrize(
    ("driver", "capability", "free", "backend"),
    [
        (None, None, 100, None),
        ((560, 35), (8, 6), 100, None),
        ((570, 86), (12, 0), 100, "cu128"),
        ((560, 35), (8, 6), 5, "cpu"),
        ((570, 86), (12, 0), 5, "cpu"),
        ((390, 46), (6, 1), 100, None),
        ((470, 82), (), 100, None),
    ],
)
def test_the_build_of_torch_fits_the_gpu_and_the_disk(the_preflight, driver, capability, free, backend):
    card = gpu(driver, capability) if driver else None
    assert the_preflight.computationBackend(plain_computer(gpu=card, freePackages=free * GB)) == backend


@pytest.mark.parametrize(
    ("driver", "torch_cuda", "words"),
    [
        ((560, 35), None, "installed without CUDA"),
        ((560, 35), "13.0", "driver 560.35 is too old for PyTorch's CUDA 13.0"),
        ((560, 35), "12.8", None),
        ((580, 65), "13.0", None),
        ((390, 46), "11.8", "too old"),
    ],
)
def test_an_unused_gpu_is_explained(the_preflight, driver, torch_cuda, words):
    hint = the_preflight.gpuHint(plain_computer(gpu=gpu(driver)), torch_cuda)
    assert (hint is None) if words is None else (words in hint)


def test_without_a_gpu_there_is_nothing_to_explain(the_preflight):
    assert the_preflight.gpuHint(plain_computer(), None) is None


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, ("pypi.org", 443)),
        ({"HTTPS_PROXY": "http://me:secret@proxy.hospital.org:3128"}, ("proxy.hospital.org", 3128)),
        ({"https_proxy": "proxy.hospital.org:8080/"}, ("proxy.hospital.org", 8080)),
        ({"HTTPS_PROXY": "http://proxy.hospital.org"}, ("proxy.hospital.org", 80)),
        ({"HTTPS_PROXY": "http://proxy.hospital.org:port"}, ("pypi.org", 443)),
    ],
)
def test_the_way_to_the_packages_is_tried(the_preflight, monkeypatch, variables, asked):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tried = []
    monkeypatch.setattr(the_preflight, "_answers", tried.append)
    finding = the_preflight.networkFinding()
    assert tried == [asked]
    assert finding.blocking
    assert asked[0] in finding.message
    assert "secret" not in finding.message
    monkeypatch.setattr(the_preflight, "_answers", lambda _server: True)
    assert the_preflight.networkFinding() is None


def test_a_closed_port_does_not_answer_and_an_open_one_does(the_preflight):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert the_preflight._answers(address)
    assert not the_preflight._answers(address)


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE"])
def test_where_pip_looks_elsewhere_the_network_is_not_judged(the_preflight, monkeypatch, variable):
    monkeypatch.setenv(variable, "https://mirror.hospital.org/simple")
    monkeypatch.setattr(the_preflight, "_answers", lambda _server: pytest.fail("nothing is to be tried"))
    assert the_preflight.networkFinding() is None


def answering(monkeypatch, answers):
    """Put an nvidia-smi in place that knows the fields of `answers`, {fields: its line}."""

    def run(command, **_):
        fields = command[1].removeprefix("--query-gpu=")
        if fields not in answers:
            raise subprocess.CalledProcessError(2, command)
        return types.SimpleNamespace(stdout=answers[fields])

    monkeypatch.setattr(subprocess, "run", run)


def test_the_driver_is_asked_for_the_gpu(the_preflight, monkeypatch):
    computer = importlib.import_module("SAM3DSegmentLib.Setup.Computer")
    two = "NVIDIA RTX A2000, 535.104.05, 8.6\nNVIDIA T400, 535.104.05, 7.5\n"
    answering(monkeypatch, {"name,driver_version,compute_cap": two})
    assert computer.nvidiaGpu() == computer.Gpu("NVIDIA RTX A2000", (535, 104, 5), (8, 6))


def test_a_driver_too_old_for_compute_capabilities_still_names_its_gpu(the_preflight, monkeypatch):
    computer = importlib.import_module("SAM3DSegmentLib.Setup.Computer")
    answering(monkeypatch, {"name,driver_version": "Quadro P400, 390.46\n"})
    assert computer.nvidiaGpu() == computer.Gpu("Quadro P400", (390, 46), ())


def test_without_a_driver_there_is_no_gpu(the_preflight, monkeypatch):
    def absent(_command, **_):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", absent)
    assert importlib.import_module("SAM3DSegmentLib.Setup.Computer").nvidiaGpu() is None


def test_this_computer_can_be_described(the_preflight):
    computer = importlib.import_module("SAM3DSegmentLib.Setup.Computer").Computer.here()
    assert computer.packages.is_dir()
    assert computer.freePackages > 0
