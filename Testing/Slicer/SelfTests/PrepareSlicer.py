"""Makes a fresh Slicer ready for the self-tests, without a dialog; run it twice:

    Slicer --no-splash --no-main-window --python-script PrepareSlicer.py

The first run installs the extension PyTorch, which Slicer loads at its next start; the second one lets that extension
install PyTorch for the CPU, and installs what else the module needs.
"""

import traceback

import slicer


def installExtension():
    manager = slicer.app.extensionsManagerModel()
    manager.interactive = False
    if not manager.installExtensionFromServer("PyTorch", False):
        raise RuntimeError("The extension PyTorch could not be installed.")


def installPackages():
    import PyTorchUtils

    PyTorchUtils.PyTorchUtilsLogic().installTorch(forceComputationBackend="cpu", torchVersionRequirement=">=2.6")
    slicer.util.pip_install(["safetensors>=0.4"])


def prepare():
    """Whether this run's half went well."""
    try:
        if slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch"):
            installPackages()
        else:
            installExtension()
    except Exception:  # noqa: BLE001 - whatever it is, Slicer must end, and with a failure
        traceback.print_exc()
        return False
    return True


slicer.util.exit(slicer.util.EXIT_SUCCESS if prepare() else slicer.util.EXIT_FAILURE)
