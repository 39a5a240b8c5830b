"""The header by which Slicer opens a label map as a segmentation."""

import gzip

import numpy as np
import pytest

from inference_core.io.files import write_labels
from inference_core.io.nrrd import segments_in


@pytest.fixture
def header_of():
    """Reads an NRRD header into its lines and a dictionary of its keys."""

    def read(path):
        text = path.read_bytes().split(b"\n\n", 1)[0].decode()
        return text.splitlines(), dict(line.split(":=", 1) for line in text.splitlines() if ":=" in line)

    return read


def test_a_segment_carries_its_name_and_color(tmp_path, a_left_handed_grid, a_mask_of, header_of):
    path = tmp_path / "liver.seg.nrrd"
    write_labels(path, a_mask_of(a_left_handed_grid), a_left_handed_grid, name="Läsion  é\n2", color=(0.25, 1, 0))
    lines, keys = header_of(path)
    assert lines[0] == "NRRD0004"
    assert "space: left-posterior-superior" in lines
    assert keys["Segment0_Name"] == "Läsion é 2"
    assert keys["Segment0_Color"] == "0.25 1 0"
    assert keys["Segment0_LabelValue"] == "1"
    assert keys["Segment0_Layer"] == "0"
    assert keys["Segment0_Extent"] == "0 4 0 5 0 6"
    assert keys["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert "Segment1_ID" not in keys


def test_the_voxels_follow_the_header_in_the_order_of_the_sizes(tmp_path, an_oblique_grid, a_mask_of):
    path = tmp_path / "liver.seg.nrrd"
    write_labels(path, a_mask_of(an_oblique_grid), an_oblique_grid)
    pixels = gzip.decompress(path.read_bytes().split(b"\n\n", 1)[1])
    assert pixels == a_mask_of(an_oblique_grid).astype(np.uint8).tobytes(order="F")


def test_an_empty_mask_is_still_one_segment(tmp_path, an_oblique_grid, header_of):
    write_labels(tmp_path / "a.seg.nrrd", np.zeros(an_oblique_grid.shape, dtype=bool), an_oblique_grid, name="tumor")
    assert header_of(tmp_path / "a.seg.nrrd")[1]["Segment0_Name"] == "tumor"


def test_each_label_becomes_a_segment_of_another_color():
    mask = np.array([0, 3, 255, 3], dtype=np.uint8).reshape(2, 2, 1)
    first, second = segments_in(mask, name="organ", color=(0.9, 0.3, 0.2))
    assert (first.value, first.name, second.value, second.name) == (3, "organ 3", 255, "organ 255")
    assert np.allclose(first.color, (0.9, 0.3, 0.2))
    assert np.abs(np.subtract(first.color, second.color)).max() > 0.2


def test_the_same_mask_makes_the_same_bytes(tmp_path, an_oblique_grid, a_mask_of):
    for suffix in (".seg.nrrd", ".nii.gz"):
        for name in ("first", "second"):
            write_labels(tmp_path / f"{name}{suffix}", a_mask_of(an_oblique_grid), an_oblique_grid)
        assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_named_labels_become_segments_whether_they_are_there_or_not(tmp_path, an_oblique_grid, a_mask_of, header_of):
    path = tmp_path / "organs.seg.nrrd"
    write_labels(path, 2 * a_mask_of(an_oblique_grid), an_oblique_grid, names=("spleen", "liver", "aorta"))
    _, keys = header_of(path)
    assert [keys[f"Segment{n}_Name"] for n in range(3)] == ["spleen", "liver", "aorta"]
    assert [keys[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "3"]
    assert len({keys[f"Segment{n}_Color"] for n in range(3)}) == 3
    assert "Segment3_ID" not in keys
