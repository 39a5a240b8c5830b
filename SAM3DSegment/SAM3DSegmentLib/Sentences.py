"""What the user is told about an error: the core's sentence, translated, and what to do about it in the panel."""

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from inference_core.errors import SAM3DError


def sentenceOf(error: Exception) -> str:
    """An error's message in the user's language; errors of others as they are."""
    from inference_core.errors import SAM3DError, one_line

    if not isinstance(error, SAM3DError):
        return str(error)
    template = _(error.template)
    said = one_line(template.format(**error.values) if error.values else template)
    remedy = _remedy(error)
    return f"{said} {remedy}" if remedy else said


def _remedy(error: "SAM3DError") -> str:
    """What to do in the panel; empty where the core's sentence says it all."""
    from inference_core.errors import Remedy

    return {
        Remedy.COMPUTE_ON_CPU: _("Choose CPU under Advanced > Device."),
        Remedy.GIVE_BASE: _("Install that model first, too."),
        Remedy.INSTALL: _("Choose it under More models and press Get, or Use a file."),
        Remedy.INSTALL_FROM_FILE: _("Then press Use a file beside the model's name."),
    }.get(error.remedy, "")  # type: ignore[arg-type]
