"""What to do when PyTorch could not be installed or loaded: the words of pip and Windows turned into advice."""

import re

from slicer.i18n import tr as _


def explained(error: BaseException, log: str = "") -> str:
    """One sentence that says what to do about a failed installation or import of PyTorch, from the words it left."""
    said = f"{type(error).__name__} {error}\n{log}"
    for pattern, advice in _advice():
        if re.search(pattern, said, re.IGNORECASE):
            return advice
    return _(
        "PyTorch could not be installed; restart Slicer and try again, and if it fails again, send the Python "
        "console's last lines to the maintainers."
    )


def _advice() -> tuple[tuple[str, str], ...]:
    """What pip, Python and Windows say when it fails, and what to do about it."""
    return (
        (
            r"No space left|Errno 28\b|WinError 112\b",
            _("The disk is full; free some GB, restart Slicer and try again."),
        ),
        (
            r"WinError 206\b|path too long",
            _("Slicer's folder has too long a name for PyTorch; install Slicer into a short one, such as C:\\Slicer."),
        ),
        (
            r"DLL load failed|WinError (126|127|1114)\b",
            _("PyTorch could not be loaded; install Microsoft's Visual C++ Redistributable and restart Slicer."),
        ),
        (
            r"CERTIFICATE_VERIFY_FAILED|SSLError",
            _("Your network replaces security certificates; ask your IT department to let pip reach pypi.org."),
        ),
        (
            r"ProxyError|Tunnel connection|\b407\b",
            _("Your network's proxy refused; ask your IT department for its address and set HTTPS_PROXY to it."),
        ),
        (
            r"Permission|Access is denied|WinError (5|32)\b",
            _("PyTorch's files are in use or protected; restart Slicer and try again before anything else."),
        ),
        (r"No matching distribution", _("There is no PyTorch for this Slicer on this computer; update Slicer.")),
        (r"timed out|Connection|resolve", _("The network was interrupted; try again.")),
    )
