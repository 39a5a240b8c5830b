"""Installing PyTorch into Slicer, with a Slicer and a PyTorch extension that only note what they are asked to do."""

import importlib
import importlib.util
import re
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from support.fake_slicer import ROOT, FakeSlicer, forget_library, gpu, plain_computer, pretend_installed, put_in_place


@pytest.fixture
def a_slicer(monkeypatch):
    """Slicer 5.12 with the extension PyTorch, where only SimpleITK is installed."""
    fake = FakeSlicer()
    for variable in ("SAM3DSEGMENT_WHEELS", "HTTPS_PROXY", "https_proxy", "PIP_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(variable, raising=False)
    put_in_place(fake, monkeypatch)
    pretend_installed(monkeypatch, fake)
    yield fake
    forget_library()


@pytest.fixture
def the_dependencies(a_slicer, monkeypatch):
    """The module under test, on a computer with room, a network and no GPU."""
    dependencies = importlib.import_module("SAM3DSegmentLib.Setup.Dependencies")
    computer = plain_computer()
    monkeypatch.setattr(dependencies.Computer, "here", classmethod(lambda _cls: computer))
    monkeypatch.setattr(importlib.import_module("SAM3DSegmentLib.Setup.Preflight"), "_answers", lambda _server: True)
    return dependencies


def test_the_oldest_versions_are_those_of_the_package(the_dependencies):
    dependencies = re.search(
        r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S
    ).group(1)
    needed = dict(re.findall(r"(\w+)>=([\d.]+)", dependencies))
    for name in ("numpy", "nibabel", "pydicom"):  # comes with Slicer, or is not on the path from click to mask
        del needed[name]
    assert needed == {name: ".".join(map(str, oldest)) for name, oldest in the_dependencies.OLDEST.items()}


def test_with_everything_installed_nobody_is_asked(the_dependencies, a_slicer):
    a_slicer.installed |= {"torch": "2.13.0+cu128", "safetensors": "0.8.0"}
    assert the_dependencies.ready()
    the_dependencies.ensureInstalled()
    assert not a_slicer.questions


def test_torch_comes_through_pytorchutils_and_the_rest_through_slicer_packaging(the_dependencies, a_slicer):
    told = []
    the_dependencies.ensureInstalled(told.append)
    assert a_slicer.installs == [("PyTorchUtils", ["torch>=2.6"]), ("packaging", ["safetensors>=0.4"])]
    assert not a_slicer.torchOptions["askConfirmation"], "the user is not asked twice"
    assert len(a_slicer.questions) == 1
    assert "torch" in a_slicer.questions[0]
    assert len(told) == 2
    assert the_dependencies.ready()


def test_before_slicer_5_12_pip_install_of_slicer_util_is_used(the_dependencies, a_slicer, monkeypatch):
    monkeypatch.delitem(sys.modules, "slicer.packaging")
    the_dependencies.ensureInstalled()
    assert a_slicer.installs[1] == ("util", ["safetensors>=0.4"])


def test_no_version_is_pinned(the_dependencies, a_slicer):
    the_dependencies.ensureInstalled()
    assert "==" not in str(a_slicer.installs)


def test_declined_nothing_is_installed_and_the_next_try_asks_again(the_dependencies, a_slicer):
    a_slicer.agrees = False
    for _ in range(2):
        with pytest.raises(the_dependencies.DependencyError, match="asked again"):
            the_dependencies.ensureInstalled()
    assert len(a_slicer.questions) == 2
    assert not a_slicer.installs
    a_slicer.agrees = True
    the_dependencies.ensureInstalled()
    assert the_dependencies.ready()


def test_a_second_call_while_the_first_one_asks_is_refused_and_asks_nothing(the_dependencies, a_slicer, monkeypatch):
    refused = []

    def ask(_text, windowTitle=None):
        with pytest.raises(the_dependencies.DependencyError, match="being installed") as refusal:
            the_dependencies.ensureInstalled()
        refused.append(refusal)
        return True

    monkeypatch.setattr(sys.modules["slicer.util"], "confirmOkCancelDisplay", ask)
    the_dependencies.ensureInstalled()
    assert len(refused) == 1
    assert the_dependencies.ready()


def test_without_the_extension_pytorch_the_user_is_told_to_install_it_and_asked_nothing(
    the_dependencies, a_slicer, monkeypatch
):
    monkeypatch.delitem(sys.modules, "PyTorchUtils")
    with pytest.raises(the_dependencies.DependencyError, match="extension 'PyTorch' in the Extensions Manager"):
        the_dependencies.ensureInstalled()
    assert not a_slicer.questions


def test_what_only_exports_need_is_asked_for_when_they_are(the_dependencies, a_slicer):
    packages = importlib.import_module("SAM3DSegmentLib.Setup.ExportPackages")
    packages.ensureInstalled(withHighdicom=False)
    assert not a_slicer.questions, "an RTSTRUCT needs pydicom alone"
    packages.ensureInstalled(withHighdicom=True)
    packages.ensureInstalled(withHighdicom=True)
    assert len(a_slicer.questions) == 1
    assert "DICOM SEG" in a_slicer.questions[0]
    assert a_slicer.installs == [("packaging", ["highdicom>=0.27"])]


def test_slicers_own_pydicom_is_not_replaced(the_dependencies, a_slicer):
    packages = importlib.import_module("SAM3DSegmentLib.Setup.ExportPackages")
    a_slicer.installed["pydicom"] = "2.4.4"
    with pytest.raises(the_dependencies.DependencyError, match="update Slicer, or export a label map"):
        packages.ensureInstalled(withHighdicom=True)
    assert not a_slicer.installs


def test_the_oldest_versions_for_exports_are_those_of_the_package(the_dependencies):
    packages = importlib.import_module("SAM3DSegmentLib.Setup.ExportPackages")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, oldest in {**packages.PYDICOM, **packages.HIGHDICOM}.items():
        assert f'"{name}>={".".join(map(str, oldest))}' in text


@pytest.mark.parametrize("version", ["2.2.2", "1.13.1+cu117", None])
def test_an_old_or_damaged_torch_is_not_overwritten(the_dependencies, a_slicer, version):
    a_slicer.installed["torch"] = version
    with pytest.raises(the_dependencies.DependencyError, match="uninstall it in the module 'PyTorch Utils'"):
        the_dependencies.ensureInstalled()
    assert not a_slicer.installs


def test_in_testing_mode_nothing_is_installed(the_dependencies, a_slicer):
    a_slicer.testing = True
    with pytest.raises(the_dependencies.DependencyError, match="torch, safetensors"):
        the_dependencies.ensureInstalled()
    assert not a_slicer.questions


def test_another_installation_is_waited_for(the_dependencies, a_slicer):
    a_slicer.busy = True
    with pytest.raises(the_dependencies.DependencyError, match="try again when that is done"):
        the_dependencies.ensureInstalled()


def test_a_full_disk_is_said_before_the_user_is_asked(the_dependencies, a_slicer, monkeypatch):
    computer = plain_computer(freePackages=2**30)
    monkeypatch.setattr(the_dependencies.Computer, "here", classmethod(lambda _cls: computer))
    with pytest.raises(the_dependencies.DependencyError, match=r"needs 2 GB .* there is 1\.0 GB"):
        the_dependencies.ensureInstalled()
    assert not a_slicer.questions


def test_what_makes_it_slow_stands_in_the_question(the_dependencies, a_slicer, monkeypatch):
    computer = plain_computer(gpu=gpu(driver=(470, 82)))
    monkeypatch.setattr(the_dependencies.Computer, "here", classmethod(lambda _cls: computer))
    the_dependencies.ensureInstalled()
    assert "driver 470.82 of the NVIDIA RTX A2000 is too old" in a_slicer.questions[0]


def test_the_network_is_tried_only_after_the_user_agreed(the_dependencies, a_slicer, monkeypatch):
    tried = []
    preflight = importlib.import_module("SAM3DSegmentLib.Setup.Preflight")
    monkeypatch.setattr(preflight, "_answers", tried.append)
    a_slicer.agrees = False
    with pytest.raises(the_dependencies.DependencyError):
        the_dependencies.ensureInstalled()
    assert not tried
    a_slicer.agrees = True
    with pytest.raises(the_dependencies.DependencyError, match=r"cannot reach pypi\.org"):
        the_dependencies.ensureInstalled()
    assert tried == [("pypi.org", 443)]
    assert not a_slicer.installs


def test_from_another_thread_nothing_is_installed(the_dependencies, a_slicer):
    refused = []

    def work():
        try:
            the_dependencies.ensureInstalled()
        except AssertionError as error:
            refused.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert refused
    assert not a_slicer.questions


def test_a_folder_of_wheels_needs_neither_network_nor_extension(the_dependencies, a_slicer, monkeypatch):
    monkeypatch.setenv("SAM3DSEGMENT_WHEELS", "/media/usb/wheels")
    monkeypatch.delitem(sys.modules, "PyTorchUtils")
    monkeypatch.setattr(importlib.import_module("SAM3DSegmentLib.Setup.Preflight"), "_answers", lambda _server: False)
    the_dependencies.ensureInstalled()
    assert a_slicer.installs == [
        ("util", ["--no-index", "--find-links", "/media/usb/wheels", "torch>=2.6", "safetensors>=0.4"])
    ]


@pytest.mark.parametrize(
    "failed",
    [
        (subprocess.CalledProcessError(1, "pip"), "OSError: [Errno 28] No space left on device", "disk is full"),
        (subprocess.CalledProcessError(1, "pip"), "WARNING: Tunnel connection failed: 407 ", "proxy refused"),
        (subprocess.CalledProcessError(1, "pip"), "[SSL: CERTIFICATE_VERIFY_FAILED]", "security certificates"),
        (subprocess.CalledProcessError(1, "pip"), "[WinError 206] The filename is too long", "into a short one"),
        (subprocess.CalledProcessError(1, "pip"), "[WinError 5] Access is denied: 'c10.dll'", "in use or protected"),
        (ImportError("DLL load failed while importing _C"), "", "Visual C++"),
        (RuntimeError("something new"), "", "maintainers"),
    ],
)
def test_a_failure_is_explained_by_what_pip_said(the_dependencies, a_slicer, capsys, failed):
    failure, words, advice = failed
    a_slicer.failure, a_slicer.words = failure, words
    with pytest.raises(the_dependencies.DependencyError, match=re.escape(advice)) as refused:
        the_dependencies.ensureInstalled()
    assert refused.value.__cause__ is failure
    assert words in capsys.readouterr().out, "pip's words still reach the Python console"
    a_slicer.failure = None
    the_dependencies.ensureInstalled()
    assert the_dependencies.ready(), "the next try begins afresh"


def test_what_pip_installed_but_python_does_not_find_asks_for_a_restart(the_dependencies, a_slicer, monkeypatch):
    monkeypatch.setattr(a_slicer, "install", lambda _how, _names: None)
    with pytest.raises(the_dependencies.DependencyError, match="restart Slicer"):
        the_dependencies.ensureInstalled()


def test_a_report_names_versions_and_no_folders(the_dependencies, a_slicer):
    a_slicer.installed["torch"] = "2.13.0"
    text = "\n".join(the_dependencies.environmentLines())
    assert "Slicer 5.12.3" in text
    assert "torch 2.13.0, safetensors missing" in text
    assert "site-packages" not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '12.8'", "12.8"), ("cuda: Optional[str] = None", None)]
)
def test_the_cuda_of_an_installed_torch_is_read_without_loading_it(the_dependencies, monkeypatch, tmp_path, line, cuda):
    (tmp_path / "version.py").write_text(f"__version__ = '2.9.0'\n{line}\n")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda _name: types.SimpleNamespace(origin=tmp_path / "__init__.py")
    )
    assert the_dependencies.torchCuda() == cuda


def test_a_gpu_that_torch_cannot_use_is_told_of(the_dependencies, monkeypatch):
    computer = plain_computer(gpu=gpu())
    monkeypatch.setattr(the_dependencies.Computer, "here", classmethod(lambda _cls: computer))
    monkeypatch.setattr(the_dependencies, "torchCuda", lambda: "13.0")
    assert "driver 560.35 is too old" in the_dependencies.unusedGpu()
    monkeypatch.setattr(the_dependencies, "torchCuda", lambda: "12.8")
    assert the_dependencies.unusedGpu() is None
