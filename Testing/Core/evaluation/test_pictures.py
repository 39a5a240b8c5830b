"""Pictures are written whole, show what they were given, and in the right colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference_core.errors import OutputError
from inference_core.evaluation.phantom import Phantom, make_phantom
from inference_core.evaluation.pictures import Outline, Row, plot_dice_against_clicks, three_planes
from inference_core.geometry.box import Box3D
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

matplotlib_image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def an_oblique_phantom() -> Phantom:
    return make_phantom(shape=(90, 76, 40), spacing=(3.8, 3.8, 6.0), oblique_degrees=14.0)


@pytest.fixture
def an_outline(an_oblique_phantom: Phantom) -> Outline:
    labels = an_oblique_phantom.labels
    return Outline("truth", Volume(labels.array == 1, labels.grid, "truth"), "#00ffff")


def pixels_of(path: Path, *, color: tuple[float, float, float]) -> int:
    """How many pixels of a PNG are close to a color, r g b in 0..1."""
    picture = matplotlib_image.imread(path)[..., :3]
    return int((np.abs(picture - color).max(axis=-1) < 0.2).sum())


def test_each_row_gets_its_own_line_of_planes(tmp_path: Path, an_oblique_phantom: Phantom) -> None:
    center = an_oblique_phantom.tumors[0].center_ras
    for name, rows in (("one.png", 1), ("two.png", 2)):
        three_planes(tmp_path / name, an_oblique_phantom.volume, [Row("row")] * rows, center_ras=center, field_mm=90.0)

    one, two = (matplotlib_image.imread(tmp_path / name) for name in ("one.png", "two.png"))

    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > 1.8 * one.shape[0]


def test_masks_and_prompts_are_drawn_in_their_colors(
    tmp_path: Path, an_oblique_phantom: Phantom, an_outline: Outline
) -> None:
    center = np.array(an_oblique_phantom.tumors[0].center_ras)
    prompts = PromptSet(
        (Click(tuple(center)), Click(tuple(center + [20, 0, 0]), False), BoxPrompt(Box3D.aligned(center, (40, 40, 40))))
    )
    colors = {
        "cyan": (0.0, 1.0, 1.0),
        "green": (0.18, 0.9, 0.42),
        "red": (1.0, 0.35, 0.3),
        "yellow": (1.0, 0.82, 0.25),
    }

    def draw(name: str, row: Row) -> dict[str, int]:
        three_planes(tmp_path / name, an_oblique_phantom.volume, [row], center_ras=center, field_mm=120.0)
        return {color: pixels_of(tmp_path / name, color=value) for color, value in colors.items()}

    bare, full = draw("bare.png", Row("bare")), draw("full.png", Row("full", [an_outline], prompts))

    assert bare == dict.fromkeys(colors, 0)
    assert full["cyan"] > 300
    assert full["yellow"] > 300
    assert full["green"] > 30
    assert full["red"] > 15


def test_a_mask_on_another_grid_is_drawn_in_place(tmp_path: Path, an_oblique_phantom: Phantom) -> None:
    finer = make_phantom(shape=(160, 130, 80), spacing=(2.1, 2.1, 3.0), oblique_degrees=0.0).labels
    coarser = an_oblique_phantom.labels
    center = an_oblique_phantom.tumors[0].center_ras
    drawn = []
    for name, labels in (("finer.png", finer), ("coarser.png", coarser)):
        outline = Outline("truth", Volume(labels.array == 1, labels.grid, "truth"), "#00ffff")
        three_planes(tmp_path / name, an_oblique_phantom.volume, [Row("", [outline])], center_ras=center, field_mm=90.0)
        picture = matplotlib_image.imread(tmp_path / name)[..., :3]
        axial = picture[:, : picture.shape[1] // 3]
        drawn.append(np.argwhere(np.abs(axial - (0, 1, 1)).max(axis=-1) < 0.2).mean(axis=0))

    # About 4.7 pixels are a millimeter here; the two masks are the same tumor, sampled by different voxels.
    assert drawn[0] == pytest.approx(drawn[1], abs=12)


def test_dice_curves_of_unequal_length_are_drawn(tmp_path: Path) -> None:
    plot_dice_against_clicks(tmp_path / "curves.png", {"a": [0.4, 0.6, 0.8], "b": [0.5]}, title="Two cases")

    assert pixels_of(tmp_path / "curves.png", color=(0.12, 0.47, 0.71)) > 100
    assert pixels_of(tmp_path / "curves.png", color=(0.0, 0.0, 0.0)) > 500


def test_a_picture_into_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        plot_dice_against_clicks(tmp_path / "absent" / "curves.png", {"a": [0.4]})

    assert list(tmp_path.iterdir()) == []
