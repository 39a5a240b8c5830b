"""Every exception this package raises on purpose; each message is one sentence that tells the user what to do.

SAM3DError
├── VolumeError        an image that cannot be read, or whose geometry cannot be trusted
├── PromptError        a click, box or prompt file that cannot be used
├── ModelError         a model that is unknown, not installed, or cannot take these prompts
│   ├── CheckpointError    a weights file of the wrong family, truncated, or carrying code
│   └── DownloadError      weights that could not be fetched or verified
├── OptionError        a setting that makes no sense
├── DeviceError        a compute device that is absent or out of memory
├── OutputError        a result that cannot be written where it was asked for
└── Cancelled          the user stopped the work
"""

import re
from enum import Enum

# C0 and C1 controls, and marks that change a text's direction: out of a file, they can fool a terminal or a label.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")

_LONGEST = 580


def one_line(text: str) -> str:
    """A text on one line, without control characters."""
    return " ".join(_CONTROLS.sub(" ", text).split())


class Remedy(Enum):
    """What the user can do about an error where that depends on the front end, which says it in terms of its own."""

    COMPUTE_ON_CPU = "compute on the CPU"
    GIVE_BASE = "give the weights of the model that this one adapts"
    INSTALL = "fetch the weights, or give a file of them"
    INSTALL_FROM_FILE = "get the weights from the authors' page and give the file"


class SAM3DError(Exception):
    """Base of all errors that are shown to the user as they are, without a traceback.

    The message is `template` with `values` in its braces, so that it can be translated before they are filled in; a
    template without values is the message itself. `remedy` is what a front end adds in its own terms.
    """

    def __init__(self, template: str = "", *, remedy: Remedy | None = None, **values: object) -> None:
        super().__init__(template.format(**values) if values else template)
        self.template, self.remedy, self.values = template, remedy, values

    def __str__(self) -> str:
        text = one_line(super().__str__())
        # What was given may be told, but not at any length.
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class VolumeError(SAM3DError):
    """The image cannot be read or its geometry cannot be trusted."""


class PromptError(SAM3DError):
    """The prompts cannot be used on this volume."""


class ModelError(SAM3DError):
    """The model is unknown, not installed, or does not take these prompts."""


class CheckpointError(ModelError):
    """The weights file does not fit the model, is damaged, or carries code."""


class DownloadError(ModelError):
    """The weights could not be fetched or verified."""


class OptionError(SAM3DError):
    """The setting makes no sense."""


class DeviceError(SAM3DError):
    """The compute device is absent or out of memory."""


class OutputError(SAM3DError):
    """The result cannot be written where it was asked for."""


class Cancelled(SAM3DError):
    """The user stopped the work."""
