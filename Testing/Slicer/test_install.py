"""The extension as Slicer's build installs it, tried with a stand-in for Slicer's build configuration."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "StandInSlicer"
CORE = Path("SAM3DSegmentLib") / "Core"
AT_FILE_SCOPE = {"slicer", "vtk", "qt", "ctk", "numpy", "SAM3DSegmentLib"} | set(sys.stdlib_module_names)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def a_build(tmp_path_factory):
    """A folder where the extension was configured, built and installed (into "installed") by cmake."""
    if shutil.which("cmake") is None or shutil.which("cc") is None:
        pytest.skip("cmake or a C compiler is not installed (Debian, Ubuntu: apt install cmake g++)")
    folder = tmp_path_factory.mktemp("extension")
    run(
        "cmake",
        "-S",
        ROOT,
        "-B",
        folder,
        f"-DSlicer_DIR={STAND_IN}",
        f"-DCMAKE_INSTALL_PREFIX={folder / 'installed'}",
        "-DSAM3DSegment_UNPUBLISHED=ON",
    )
    run("cmake", "--build", folder)
    run("cmake", "--install", folder)
    return folder


@pytest.fixture(scope="module")
def the_modules(a_build):
    """The folder that Slicer looks for modules in."""
    return a_build / "installed" / "lib" / "Slicer-5.12" / "qt-scripted-modules"


@pytest.fixture(scope="module")
def the_metadata(a_build):
    """What the extension says of itself, by field."""
    return dict(line.split("=", 1) for line in (a_build / "metadata.txt").read_text(encoding="utf-8").splitlines())


def expected_files():
    """What belongs into the installed tree, {its path there: the file here}."""
    core = [path for path in (ROOT / "inference_core").rglob("*.py") if path.parent.name != "benchmark"]
    module = {path.relative_to(ROOT / "SAM3DSegment"): path for path in (ROOT / "SAM3DSegment").rglob("*.py")}
    resources = [
        path
        for folder in ("Icons", "UI", "Models")
        for path in (ROOT / "Resources" / folder).glob("*.*")
        if not path.name.startswith(".")
    ]
    return module | {CORE / path.relative_to(ROOT): path for path in core + resources}


def test_all_of_core_module_and_resources_is_installed_and_nothing_else(the_modules):
    installed = {path.relative_to(the_modules) for path in the_modules.rglob("*") if path.is_file()}
    files = expected_files()
    expected = set(files)
    assert installed == expected
    assert {
        Path("SAM3DSegment.py"),
        CORE / "Resources/UI/SAM3DSegment.ui",
        CORE / "inference_core/cli/main.py",
    } <= installed
    assert [name for name in installed if (the_modules / name).read_bytes() != files[name].read_bytes()] == []


def in_fresh_python(code, *arguments, path):
    """Run code in a Python that sees of this project only what lies in `path`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SAM3DSEGMENT"))}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "XDG_DATA_HOME": str(path[0] / "nowhere")}
    return run(sys.executable, "-B", "-c", code, *arguments, env=environment, cwd=path[0])


FIND_WEIGHTS = """
import sys, inference_core
from inference_core.models.registry import get_spec
from inference_core.models.store import require_installed
print(inference_core.__file__)
print(require_installed(get_spec("sam3d_lite")))
print("torch" in sys.modules)
"""


def test_the_installed_core_finds_its_weights_without_loading_torch(the_modules):
    core, weights, torch_loaded = in_fresh_python(FIND_WEIGHTS, path=[the_modules / CORE]).split()
    assert Path(core) == the_modules / CORE / "inference_core" / "__init__.py"
    assert Path(weights) == the_modules / CORE / "Resources" / "Models" / "sam3d_lite.safetensors"
    assert torch_loaded == "False"


FIND_RESOURCES = """
from SAM3DSegmentLib.Paths import makeCoreImportable, projectRoot, resourcePath
makeCoreImportable()
import inference_core
print(projectRoot())
print(inference_core.__file__)
print(resourcePath("UI/SAM3DSegment.ui").is_file() and resourcePath("Icons/SAM3DSegment.png").is_file())
"""


def test_the_installed_module_finds_core_and_resources(the_modules):
    root, core, found = in_fresh_python(FIND_RESOURCES, path=[the_modules]).split()
    assert Path(root) == the_modules / CORE
    assert Path(core).is_relative_to(the_modules / CORE)
    assert found == "True"


# Another extension's package of the same name, first on the path.
HIDE_CORE = """
import sys
from pathlib import Path
other = Path(sys.argv[1])
(other / "inference_core").mkdir()
(other / "inference_core" / "__init__.py").write_text("raise ImportError")
sys.path.insert(0, str(other))
from SAM3DSegmentLib.Paths import makeCoreImportable
makeCoreImportable()
import inference_core
print(inference_core.__file__)
"""


def test_another_extensions_package_of_that_name_does_not_hide_the_core(the_modules, tmp_path):
    core = in_fresh_python(HIDE_CORE, tmp_path, path=[the_modules]).strip()
    assert Path(core).is_relative_to(the_modules / CORE)


def test_the_placeholder_of_the_contributors_is_refused(tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    command = ["cmake", "-S", ROOT, "-B", tmp_path, f"-DSlicer_DIR={STAND_IN}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    named = "First Last" not in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8").split("set(EXTENSION_")[2]
    assert named or (done.returncode != 0 and "put the names" in " ".join(done.stderr.split()))


# The module's file and its panel, opened in the host from where they were installed.
OPEN_PANEL = """
import sys
from pathlib import Path
from Host.application import startApplication
folder = Path(sys.argv[1])
manager = startApplication().moduleManager()
module = manager.loadModule(folder / "SAM3DSegment.py")
panel = manager.selectModule("SAM3DSegment")
print("torch" in sys.modules, module.icon is not None, panel.logic is not None)
ours = [name for name in sys.modules if name.split(".")[0] in ("SAM3DSegment", "SAM3DSegmentLib", "inference_core")]
print(*[name for name in ours if not Path(sys.modules[name].__file__).is_relative_to(folder)])
"""


@pytest.mark.skipif(
    not all(map(find_spec, ("slicer_core", "PySide6"))), reason="slicer-core or PySide6 is not installed"
)
def test_the_installed_panel_opens_from_the_installed_tree_alone_without_loading_torch(the_modules, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.delenv("DISPLAY", raising=False)
    said = in_fresh_python(OPEN_PANEL, the_modules, path=[the_modules, ROOT / "Testing"])
    assert said.splitlines()[-2:] == ["False True True", ""], "torch, icon, logic; modules from elsewhere"


def test_only_what_slicer_has_is_imported_at_file_scope():
    files = [*(ROOT / "SAM3DSegment").rglob("*.py")]
    foreign = {
        (path.name, name) for path in files for name in imported_at_file_scope(path) if name not in AT_FILE_SCOPE
    }
    assert not foreign, "Slicer must start without these; import them in functions"


def imported_at_file_scope(path):
    """The top-level packages that importing a file imports."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "SAM3DSegmentLib").split(".")[0]


def test_the_extension_says_what_slicer_asks_of_it(the_metadata):
    version = re.search(
        r'__version__ = "(.+)"', (ROOT / "inference_core" / "__init__.py").read_text(encoding="utf-8")
    ).group(1)
    assert the_metadata["VERSION"] == version
    assert version in the_metadata["DESCRIPTION"]
    assert the_metadata["DEPENDS"] == "PyTorch"
    assert all(the_metadata.values())
    assert ";" not in "".join(the_metadata.values()), "Slicer passes these on as CMake lists"


@pytest.mark.parametrize("field", ["ICONURL", "SCREENSHOTURLS"])
def test_the_pictures_of_the_extension_are_files_of_this_repository(the_metadata, field):
    for url in the_metadata[field].split():
        owner, repository, branch, *path = urlsplit(url).path.strip("/").split("/")
        assert the_metadata["HOMEPAGE"].endswith(f"/{owner}/{repository}")
        assert branch == "main"
        assert (ROOT / Path(*path)).read_bytes().startswith(b"\x89PNG")


def test_the_catalog_entry_is_the_extensions(the_metadata):
    entry = json.loads((ROOT / "SAM3DSegment.json").read_text(encoding="utf-8"))
    assert the_metadata["NAME"] == "SAM3DSegment"
    assert entry["scm_url"] == the_metadata["HOMEPAGE"] + ".git"
    assert entry["build_dependencies"] == [the_metadata["DEPENDS"]]
    assert entry["category"] == "Segmentation"
    known = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier"}
    assert set(entry) <= known, "the catalog's schema takes no others"


def test_every_self_test_is_registered_with_slicer(a_build):
    registered = set(re.findall(r"py_(\w+)", run("ctest", "-N", cwd=a_build)))
    assert registered == {path.stem for path in (ROOT / "Testing" / "Slicer" / "SelfTests").glob("*Test.py")}
    assert registered


# In a process of its own, since an application without widgets could not make room for the host's.
COMPARE_PICTURES = """
import numpy as np
from PySide6.QtGui import QGuiApplication, QImage
from support.render_icon import PICTURE, rendered
application = QGuiApplication([])
drawn, stored = rendered(), QImage(str(PICTURE)).convertToFormat(QImage.Format.Format_RGBA8888)
difference = np.frombuffer(drawn.constBits(), np.uint8) - np.frombuffer(stored.constBits(), np.uint8).astype(int)
print(stored.width(), stored.height(), np.abs(difference).mean())
"""


def test_the_catalogs_picture_is_the_modules_icon(monkeypatch):
    pytest.importorskip("PySide6")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    width, height, difference = map(float, in_fresh_python(COMPARE_PICTURES, path=[ROOT / "Testing"]).split())
    assert (width, height) == (128, 128)
    assert difference < 2, "draw it again with Testing/support/render_icon.py"
