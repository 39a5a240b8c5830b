"""What a user of the command line does about an error, in the command line's own terms."""

from __future__ import annotations

from inference_core.errors import Remedy, SAM3DError

_SENTENCES = {
    Remedy.COMPUTE_ON_CPU: "Use --device cpu for it.",
    Remedy.GIVE_BASE: "Give it with --base FILE.",
    Remedy.INSTALL: "Run `sam3dsegment download {model}`, with `--from FILE` if you have '{filename}' already.",
    Remedy.INSTALL_FROM_FILE: "Then run `sam3dsegment download {model} --from FILE`.",
}


def told(error: SAM3DError) -> str:
    """The error's message, and what to do about it here."""
    if error.remedy is None:
        return str(error)
    return f"{error} {_SENTENCES[error.remedy].format(**error.values)}"
