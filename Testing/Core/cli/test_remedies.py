"""What a command says about an error: the core's sentence, and what to do in the command line's own terms."""

import pytest

from inference_core.cli.remedies import told
from inference_core.errors import DeviceError, ModelError, PromptError, Remedy


def test_an_error_without_a_remedy_is_told_as_it_is():
    assert told(PromptError("The box is empty; draw it again.")) == "The box is empty; draw it again."


@pytest.mark.parametrize("remedy", list(Remedy))
def test_every_remedy_has_a_sentence_of_the_command_lines(remedy):
    error = ModelError("{title} is not here.", remedy=remedy, title="M", model="m", filename="m.pth", page="p")
    assert told(error).startswith("M is not here. ")
    assert told(error).endswith(".")
    assert "{" not in told(error)


def test_a_missing_model_is_told_with_the_command_that_fetches_it():
    error = ModelError("{title} is not here.", remedy=Remedy.INSTALL, title="M", model="m", filename="m.pth")
    assert told(error) == (
        "M is not here. Run `sam3dsegment download m`, with `--from FILE` if you have 'm.pth' already."
    )


def test_values_with_braces_are_not_filled_in_again():
    assert str(DeviceError("'{name}' is odd.", name="{x}")) == "'{x}' is odd."
    assert str(DeviceError('{"a": 1} is no sentence.')) == '{"a": 1} is no sentence.'
