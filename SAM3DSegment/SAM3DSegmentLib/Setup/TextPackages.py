"""What prompts in words need: the library that reads tokenizers, installed on demand."""

from collections.abc import Callable

from slicer.i18n import tr as _

from SAM3DSegmentLib.Setup import Dependencies

TOKENIZERS: Dependencies.Versions = {"tokenizers": (0, 15)}


def ensureInstalled(notify: Callable[[str], None] | None = None) -> None:
    """Make sure that words can be read. Blocks where something is installed; main thread only.

    Raises:
        DependencyError: the library is missing and was not installed.
    """
    question = _(
        "To read prompts in words, SAM3DSegment needs this Python package in Slicer: {packages}. It is fetched from "
        "the internet once, a few MB; no image and no words are sent anywhere."
    )
    Dependencies.ensureInstalled(notify, wanted=TOKENIZERS, purpose=question)
