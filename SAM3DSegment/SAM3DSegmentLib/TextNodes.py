"""A prompt in words as Slicer's text node; it has no place in the image."""

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.PromptKinds import TEXT
from SAM3DSegmentLib.SegmentState import PromptItem

if TYPE_CHECKING:
    from inference_core.prompts.text import TextPrompt


def isPlaced(node: Any) -> bool:
    """Whether the node says anything that names a target."""
    return _promptOf(node) is not None


def itemOf(node: Any, order: str) -> PromptItem | None:
    """The text as a prompt; None where it names no target."""
    prompt = _promptOf(node)
    return None if prompt is None else PromptItem(order, TEXT, None, None, True, (prompt.text,), prompt)


def restore(node: Any, item: PromptItem) -> None:
    """Make a node say what it said."""
    node.SetText(str(item.local[0]))


def move(_node: Any, _ras: Any) -> None:
    """A text lies nowhere.

    Raises:
        PromptError: always.
    """
    from inference_core.errors import PromptError

    raise PromptError(_("A text has no place in the image; change its words instead."))


def _promptOf(node: Any) -> "TextPrompt | None":
    from inference_core.errors import PromptError
    from inference_core.prompts.text import TextPrompt

    try:
        return TextPrompt(node.GetText() or "")
    except PromptError:
        return None
