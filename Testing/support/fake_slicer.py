"""A Slicer that only notes what it is asked to do, and computers that are not at hand: for tests of installing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class FakeSlicer:
    """What was asked of Slicer and PyTorchUtils, and what they answer. `installed` maps packages to versions."""

    def __init__(self):
        self.installed = {"SimpleITK": "2.5.2", "pydicom": "3.0.2"}
        self.agrees = True
        self.testing = False
        self.busy = False
        self.questions, self.installs = [], []
        self.failure, self.words = None, ""

    def confirm(self, text, windowTitle=None):
        self.questions.append(text)
        return self.agrees

    def install(self, how, names):
        self.installs.append((how, names))
        sys.stdout.write(f"{self.words}\n")
        if self.failure is not None:
            raise self.failure
        self.installed |= dict.fromkeys([re.split("[>=]", name)[0] for name in names if name[0] not in "-/"], "9.0")

    def installTorch(self, **options):  # noqa: N802 - PyTorchUtils' name
        self.install("PyTorchUtils", ["torch" + options["torchVersionRequirement"]])
        self.torchOptions = options


def module(name, **content):
    made = types.ModuleType(name)
    vars(made).update(content)
    return made


def put_in_place(fake, monkeypatch):
    """Make `import slicer` and `import PyTorchUtils` find the fake, and `SAM3DSegmentLib` be imported anew beside it.

    monkeypatch undoes it all, so that tests on the real scene in the same process keep their modules.
    """
    packaging = module(
        "slicer.packaging",
        isPipInstallInProgress=lambda: fake.busy,
        pip_ensure=lambda names, **_: fake.install("packaging", names),
    )
    util = module(
        "slicer.util", confirmOkCancelDisplay=fake.confirm, pip_install=lambda names: fake.install("util", names)
    )
    i18n = module("slicer.i18n", tr=lambda text: text)
    app = types.SimpleNamespace(testingEnabled=lambda: fake.testing, applicationVersion="5.12.3")
    slicer = module("slicer", app=app, util=util, i18n=i18n, __path__=[])
    for made in (slicer, util, i18n, packaging, module("PyTorchUtils", PyTorchUtilsLogic=lambda: fake)):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for name in _library():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(ROOT / "SAM3DSegment"))


def forget_library():
    """Drop the modules that were imported beside the fake."""
    for name in _library():
        del sys.modules[name]


def pretend_installed(monkeypatch, fake):
    """Let Python find of the packages that may be installed only those that `fake.installed` names."""
    find_spec, version = importlib.util.find_spec, importlib.metadata.version
    ours = ("torch", "safetensors", "SimpleITK", "pydicom", "highdicom")

    def find(name, package=None):
        return find_spec("json") if name in fake.installed else None if name in ours else find_spec(name, package)

    def said(name):
        if name in ours and name not in fake.installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return fake.installed[name] if name in ours else version(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(importlib.metadata, "version", said)


def plain_computer(**other):
    computer = importlib.import_module("SAM3DSegmentLib.Setup.Computer")
    facts = {
        "system": "Linux",
        "machine": "x86_64",
        "packages": Path("/opt/Slicer/lib/Python/site-packages"),
        "gpu": None,
    }
    room = {"freePackages": 100 * 2**30, "freeDownloads": 100 * 2**30, "sameDrive": True}
    return computer.Computer(**(facts | room | {"writable": True, "longPaths": True} | other))


def gpu(driver=(560, 35), capability=(8, 6)):
    return importlib.import_module("SAM3DSegmentLib.Setup.Computer").Gpu("NVIDIA RTX A2000", driver, capability)


def _library():
    return [name for name in sys.modules if name.split(".")[0] == "SAM3DSegmentLib"]
