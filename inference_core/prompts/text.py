"""A prompt in words: what the target is called. It has no place, and says nothing of where the target is not."""

from __future__ import annotations

from dataclasses import dataclass

from inference_core.errors import PromptError

MOST_CHARACTERS = 300


@dataclass(frozen=True)
class TextPrompt:
    """A text that names the target, or several that together are the target.

    Raises:
        PromptError: it is no text, empty, or longer than any name of a target.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise PromptError("A text that names the target is needed, but got {value!r}.", value=self.text)
        if not self.text.strip() or not self.text.isprintable():
            raise PromptError("The text is empty or holds control characters; name the target, as 'the left kidney'.")
        if len(self.text) > MOST_CHARACTERS:
            raise PromptError(
                "The text has {count} characters; name the target in {most} at most.",
                count=len(self.text),
                most=MOST_CHARACTERS,
            )
        object.__setattr__(self, "text", " ".join(self.text.split()))
