"""Prompt files: what was written is read back exactly, and every malformed one is refused by one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_core.errors import OutputError, PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.io.prompts_json import PromptFile, read_prompts, write_prompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble
from inference_core.prompts.text import TextPrompt

CLICK = {"type": "click", "position": [1.5, -2.0, 3], "positive": True}
BOX = {"type": "box", "center": [1, 2, 3], "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "size": [10, 20, 30]}

LINE = {"type": "line", "start": [1, 2, 3], "end": [4, 5, 6.5]}
SCRIBBLE = {"type": "scribble", "points": [[1, 2, 3], [4, 5, 6]], "positive": False}
LASSO = {"type": "lasso", "points": [[0, 0, 1], [4, 0, 1], [4, 4, 2]], "positive": True}


@pytest.fixture
def an_oblique_box() -> Box3D:
    turn = np.radians(33.0)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, -1]])
    return Box3D(np.array([-12.25, 40.1, -876.4]), axes, np.array([11.0, 22.0, 33.0]))


@pytest.fixture
def a_file(tmp_path: Path) -> Any:
    """Writes a prompt file with some of its keys changed; a value of None takes the key away."""

    def write(**changes: Any) -> Path:
        content = {"format": "sam3dsegment-prompts", "version": 1, "frame": "ras", "prompts": [CLICK, BOX], **changes}
        path = tmp_path / "prompts.json"
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        return path

    return write


def test_prompts_come_back_as_they_were_written(tmp_path: Path, an_oblique_box: Box3D) -> None:
    prompts = PromptSet((Click((0.1, -1 / 3, 1e-7)), BoxPrompt(an_oblique_box), Click((4, 5, 6), positive=False)))

    write_prompts(tmp_path / "p.json", prompts, model="sam3d_lite", threshold=-0.25)

    assert read_prompts(tmp_path / "p.json") == PromptFile(prompts, "sam3d_lite", -0.25)


def test_a_reach_of_the_users_own_is_kept_and_one_left_out_stays_so(tmp_path: Path) -> None:
    prompts = PromptSet((Click((1.0, 2.0, 3.0)), Click((4.0, 5.0, 6.0), positive=False, reach_mm=12.5)))
    write_prompts(tmp_path / "p.json", prompts)
    assert read_prompts(tmp_path / "p.json").prompts == prompts
    first, second = json.loads((tmp_path / "p.json").read_text())["prompts"]
    assert "reach_mm" not in first
    assert second["reach_mm"] == 12.5


@pytest.mark.parametrize("reach", [0, -1, "10", float("inf"), True, [5]])
def test_a_reach_that_is_no_length_is_refused(a_file: Any, reach: Any) -> None:
    with pytest.raises(PromptError, match='correct its "reach_mm" to a length'):
        read_prompts(a_file(prompts=[{**CLICK, "reach_mm": reach}]))


def test_strokes_come_back_as_they_were_written(tmp_path: Path) -> None:
    points = tuple((float(n), n / 3, -1e-9 * n * n) for n in range(500))
    prompts = PromptSet(
        (
            Line((0.1, 1 / 3, -7), (1e5, 0, 0)),
            Scribble(points, positive=False),
            Click((1, 2, 3)),
            Lasso(((0, 0, 1), (4, 0.1, 1), (4, 4, 1 / 3))),
        )
    )

    write_prompts(tmp_path / "p.json", prompts)

    assert read_prompts(tmp_path / "p.json").prompts == prompts


def test_texts_come_back_among_the_others(tmp_path: Path) -> None:
    prompts = PromptSet((TextPrompt("die linke Niere"), Click((1.0, 2.0, 3.0)), TextPrompt("the left kidney")))
    write_prompts(tmp_path / "p.json", prompts)
    assert read_prompts(tmp_path / "p.json").prompts == prompts


@pytest.mark.parametrize("text", [None, 3, "", " ", "a\x00b", "x" * 301])
def test_a_text_that_names_nothing_is_refused(a_file: Any, text: Any) -> None:
    with pytest.raises(PromptError, match="prompt 1: "):
        read_prompts(a_file(prompts=[{"type": "text", "text": text}]))


def test_strokes_are_read_from_a_file_written_by_hand(a_file: Any) -> None:
    found = read_prompts(a_file(prompts=[LINE, SCRIBBLE, LASSO])).prompts

    assert found.strokes == (
        Line((1, 2, 3), (4, 5, 6.5)),
        Scribble(((1, 2, 3), (4, 5, 6)), positive=False),
        Lasso(((0, 0, 1), (4, 0, 1), (4, 4, 2))),
    )


def test_the_axes_in_the_file_are_the_directions_of_the_edges(tmp_path: Path, an_oblique_box: Box3D) -> None:
    write_prompts(tmp_path / "p.json", PromptSet((BoxPrompt(an_oblique_box),)))

    entry = json.loads((tmp_path / "p.json").read_text())["prompts"][0]
    first_edge = an_oblique_box.corners_ras[1] - an_oblique_box.corners_ras[0]
    assert np.allclose(entry["axes"][0], first_edge / entry["size"][0], atol=1e-12)


def test_model_and_threshold_may_be_left_out(a_file: Any) -> None:
    found = read_prompts(a_file())

    assert (found.model, found.threshold) == (None, None)
    assert found.prompts.clicks == (Click((1.5, -2.0, 3.0)),)
    assert found.prompts.boxes == (Box3D.aligned([1, 2, 3], [10, 20, 30]),)


def test_keys_of_later_writers_and_a_byte_order_mark_are_passed_over(a_file: Any) -> None:
    path = a_file(color="red")
    path.write_text(path.read_text(), encoding="utf-8-sig")

    assert len(read_prompts(path).prompts.prompts) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "something-else"}, "no prompt file"),
        ({"format": None}, "no prompt file"),
        ({"version": 2}, "version 2"),
        ({"version": None}, "version None"),
        ({"version": True}, "version True"),
        ({"frame": "lps"}, "'lps'"),
        ({"frame": None}, "frame None"),
        ({"prompts": None}, "no list of prompts"),
        ({"prompts": {"0": CLICK}}, "no list of prompts"),
        ({"prompts": [CLICK, {"type": "wand"}]}, "prompt 2 is of the unknown type 'wand'"),
        ({"prompts": ["click"]}, "unknown type None"),
        ({"prompts": [{**CLICK, "position": [1, float("nan"), 3]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "position": [1, float("inf"), 3]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "position": [1, 2]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "position": ["1", 2, 3]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "position": [True, 2, 3]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "position": [10**400, 2, 3]}]}, "three finite numbers"),
        ({"prompts": [{**CLICK, "positive": "no"}]}, "whether it is positive"),
        ({"prompts": [{**BOX, "size": [10, 0, 30]}]}, "prompt 1: The box is empty or inverted"),
        ({"prompts": [{**BOX, "size": [10, -5, 30]}]}, "empty or inverted"),
        ({"prompts": [{**BOX, "axes": [[1, 0, 0], [1, 1, 0], [0, 0, 1]]}]}, "right angles"),
        ({"prompts": [{**BOX, "axes": [[1, 0, 0], [0, 1, 0]]}]}, "three directions"),
        ({"prompts": [{**BOX, "center": None}]}, "center is not three finite numbers"),
        ({"prompts": [{**LINE, "end": LINE["start"]}]}, "prompt 1: The line has no length"),
        ({"prompts": [{**LINE, "end": [1, 2]}]}, "end is not three finite numbers"),
        ({"prompts": [{**LINE, "start": None}]}, "start is not three finite numbers"),
        ({"prompts": [{**SCRIBBLE, "points": []}]}, "no list of points"),
        ({"prompts": [{**SCRIBBLE, "points": "many"}]}, "no list of points"),
        ({"prompts": [{**SCRIBBLE, "points": [[1, 2, 3], [4, 5]]}]}, "point 2 is not three finite numbers"),
        ({"prompts": [{**SCRIBBLE, "positive": None}]}, "whether it is positive"),
        ({"prompts": [{**LASSO, "points": LASSO["points"][:2]}]}, "prompt 1: The lasso holds no area"),
        ({"prompts": [{"type": ["click"]}]}, "unknown type"),
        ({"model": 3}, "no text"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": "high"}, "threshold"),
    ],
)
def test_a_malformed_file_is_refused_in_one_sentence(a_file: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PromptError, match=r"^[^\n]+\.$") as refusal:
        read_prompts(a_file(**changes))

    assert words in str(refusal.value)


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", "[" * 100_000, "\x00\x01"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)

    with pytest.raises(PromptError, match=r"not JSON|no prompt file"):
        read_prompts(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(b"\xff\xfe\xfa")

    with pytest.raises(PromptError, match="not JSON"):
        read_prompts(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="There is no prompt file"):
        read_prompts(tmp_path / "absent.json")
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompts(tmp_path)


def test_prompts_that_start_from_a_mask_are_not_saved_without_it(tmp_path: Path) -> None:
    mask = Volume(np.ones((2, 2, 2), dtype=np.uint8), Grid((2, 2, 2), np.eye(4)))

    with pytest.raises(PromptError, match="mask"):
        write_prompts(tmp_path / "p.json", PromptSet((Click((0, 0, 0)),), mask))

    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_prompts(tmp_path / "absent" / "p.json", PromptSet())
