"""The key picture shows the slice that was measured, the right way round; the page holds the numbers and no names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from support.html_pages import Page
from support.scenes import oblique_grid, spheres

from inference_core.errors import VolumeError
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.measures.change import Lesion, compare
from inference_core.measures.key_picture import key_picture, png_of
from inference_core.measures.lesion_table import Entry, LesionTable
from inference_core.measures.measurements import measure
from inference_core.measures.report_page import StudyReport, html_page

YELLOW, CYAN, ORANGE = (255, 240, 80), (100, 240, 255), (240, 150, 30)


def scene(orientation):
    """A ball as a lesion; a bright mark to the patient's left of it and a brighter one in front, on an oblique grid."""
    grid = oblique_grid(orientation, 0, degrees=(4.0, -3.0, 5.0))
    center = grid.to_ras(np.rint((np.asarray(grid.shape) - 1) / 2))
    mask = Mask.of(spheres(grid, [(center, 8.0)]) > 0.5)
    image = 0.4 * spheres(grid, [(center, 8.0)])
    image += 0.7 * spheres(grid, [(center + (-20, 0, 0), 5.0)]) + 1.0 * spheres(grid, [(center + (0, 20, 0), 5.0)])
    return mask, Volume(image.astype(np.float32), grid, "Secret^Name")


def where(picture, color):
    return np.argwhere((picture == color).all(axis=-1))


@pytest.mark.parametrize("orientation", range(0, 48, 5))
def test_left_is_on_the_right_and_anterior_on_top_however_the_voxels_lie(orientation):
    mask, volume = scene(orientation)
    picture = key_picture(mask, volume, measure(mask, volume).axial, window=(0.0, 1.0))
    gray = picture[..., 0].astype(int)
    colored = (picture[..., 0] != picture[..., 1]) | (picture[..., 1] != picture[..., 2])
    left = np.argwhere((gray > 160) & (gray < 200) & ~colored).mean(axis=0)
    front = np.argwhere((gray > 240) & ~colored)[:-1]
    front = front[front[:, 0] < 160].mean(axis=0)
    outline = where(picture, ORANGE).mean(axis=0)
    assert left[1] > outline[1] + 50
    assert abs(left[0] - outline[0]) < 30
    assert front[0] < outline[0] - 50


def test_the_axes_are_drawn_as_long_as_they_are():
    mask, volume = scene(29)
    axial = measure(mask, volume).axial
    picture = key_picture(mask, volume, axial)
    assert picture.shape == (320, 320, 3)
    pixel_mm = 60.0 / 320
    for color, diameter in ((YELLOW, axial.longest), (CYAN, axial.perpendicular)):
        places = where(picture, color)
        drawn = np.linalg.norm(places[:, None] - places[None], axis=-1).max() * pixel_mm
        assert drawn == pytest.approx(diameter.mm, abs=0.6)


def test_a_mask_beyond_the_image_is_refused():
    mask, volume = scene(0)
    axial = measure(mask, volume).axial
    with pytest.raises(VolumeError, match="reaches beyond"):
        key_picture(Mask((500, 0, 0), mask.array), volume, axial)


def test_the_png_is_read_by_another_reader():
    images = pytest.importorskip("matplotlib.image")
    picture = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    assert np.array_equal(np.rint(images.imread(io.BytesIO(png_of(picture))) * 255), picture)


@pytest.fixture
def a_report():
    mask, volume = scene(29)
    numbers = measure(mask, volume, unit="HU")
    table = LesionTable((Entry(Lesion("liver <1>", numbers), "Mass", "completed"),))
    picture = png_of(key_picture(mask, volume, numbers.axial))
    change = compare([Lesion("liver <1>", numbers)], [Lesion("liver <1>", numbers)])
    return StudyReport(table, {"liver <1>": picture}, ["Model: sam3d_lite", "Version 0.1.0"], change)


def test_the_page_has_table_picture_change_model_and_the_disclaimer_in_one_file(a_report):
    page = Page(html_page(a_report))
    words = " ".join(page.words)
    assert "Not a medical device" in words
    assert "Model: sam3d_lite" in words
    assert "stable disease" in words
    assert f"{a_report.table.entries[0].lesion.mm:.1f} x" in words
    assert "liver <1>" in words, "and what looks like a tag in a name is text"
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert image["src"].startswith("data:image/png;base64,")
    assert not [tag for tag, attributes in page.tags if tag in ("script", "link")]


def test_no_name_is_on_the_page_unless_the_user_gives_one(a_report):
    assert "Secret" not in html_page(a_report)
    named = StudyReport(a_report.table, {}, [], heading="Doe & Co")
    assert "<h1>Lesions: Doe &amp; Co</h1>" in html_page(named)
