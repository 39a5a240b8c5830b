"""The PDF says what the page says, with a picture a lesion, on as many sheets as it takes."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.html_pages import Page
from support.scenes import oblique_grid, spheres

from inference_core.errors import OutputError
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.measures.change import Lesion, compare
from inference_core.measures.key_picture import key_picture, png_of
from inference_core.measures.lesion_table import Entry, LesionTable
from inference_core.measures.measurements import measure
from inference_core.measures.report_page import StudyReport, html_page
from inference_core.measures.report_pdf import pdf_page

pytest.importorskip("fpdf")
pypdf = pytest.importorskip("pypdf")


def a_report(names, *, heading=""):
    """Lesions of one ball, each with its picture, compared with themselves."""
    grid = oblique_grid(29, 0)
    mask = Mask.of(spheres(grid, [(grid.center_ras, 8.0)]) > 0.5)
    volume = Volume(spheres(grid, [(grid.center_ras, 8.0)]).astype(np.float32), grid, "Secret^Name")
    numbers = measure(mask, volume, unit="HU")
    lesions = [Lesion(name, numbers, target=n < 5, organ=f"organ {n}") for n, name in enumerate(names)]
    table = LesionTable(tuple(Entry(lesion, "Mass", "completed") for lesion in lesions))
    # A PDF keeps equal pictures once.
    pictures = {
        name: png_of(key_picture(mask, volume, numbers.axial, window=(0, n + 1))) for n, name in enumerate(names)
    }
    made_by = ["Model: sam3d_lite, weights sha256 " + 64 * "a", "SAM3DSegment 0.1.0"]
    return StudyReport(table, pictures, made_by, compare(lesions, lesions), heading, ["Look at it."])


def read(report):
    return pypdf.PdfReader(io.BytesIO(pdf_page(report)))


def words_of(text):
    return "".join(text.split())


def text_of(document):
    return words_of("".join(page.extract_text() for page in document.pages))


@pytest.mark.parametrize("names", [["liver <1>"], ["печень 1", "Lunge rechts"], [f"lesion {n}" for n in range(14)]])
def test_everything_that_the_page_says_is_in_the_pdf_with_a_picture_a_lesion(names):
    report = a_report(names)
    document = read(report)
    said = text_of(document)
    for words in Page(html_page(report)).words:
        assert words_of(words) in said
    pictures = [image for page in document.pages for image in page.images]
    assert len(pictures) == len(names)
    assert all(image.image.size == (320, 320) for image in pictures)
    assert len(document.pages) == (1 if len(names) < 3 else 3)


def test_no_name_is_in_the_file_unless_the_user_gives_one():
    document = read(a_report(["a"]))
    assert "Secret" not in text_of(document)
    assert document.metadata.title == "Lesions"
    assert "Lesions:Doe&Co" in text_of(read(a_report(["a"], heading="Doe & Co")))


def test_a_letter_that_the_font_has_not_is_refused_and_not_printed_as_a_box():
    with pytest.raises(OutputError, match=r"no letter '肝'; .*\.html"):
        pdf_page(a_report(["肝"]))


def test_a_report_without_change_and_pictures_is_a_page_too():
    document = read(replace(a_report(["a"]), change=None, pictures={}))
    assert "Change" not in text_of(document)
    assert not list(document.pages[0].images)


@pytest.mark.parametrize("package", ["fpdf", "matplotlib"])
def test_without_the_packages_one_sentence_says_what_to_install(package):
    code = (
        f"import sys; sys.modules['{package}'] = None\n"  # how Python itself marks what cannot be imported
        "from inference_core.measures.report_pdf import check_pdf\n"
        "try: check_pdf()\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OutputError A PDF needs the packages fpdf2 and matplotlib; install them")
