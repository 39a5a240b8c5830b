"""The door for all formats: what it refuses, and that each refusal is one sentence and leaves the terminal clean."""

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.errors import OutputError, VolumeError
from inference_core.io.files import check_labels_path, read_labels, read_volume, write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.io.segment_names import segment_names

NRRD = """NRRD0004
type: short
dimension: {rank}
space: left-posterior-superior
sizes: {sizes}
space directions: {directions}
kinds: {kinds}
endian: little
encoding: raw
space origin: (1,2,3)

"""
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
TransformMatrix = {matrix}
Offset = 0 0 0
ElementSpacing = {spacing}
DimSize = 4 5 6
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
UPRIGHT = "1 0 0 0 1 0 0 0 1"


def nrrd(directions="(1,0,0) (0,1,0) (0,0,2)", *, sizes="4 5 6", kinds="domain domain domain", rank=3):
    return NRRD.format(directions=directions, sizes=sizes, kinds=kinds, rank=rank).encode() + bytes(4 * 5 * 6 * 2 * 3)


def meta(matrix=UPRIGHT, spacing="1 1 2"):
    return META.format(matrix=matrix, spacing=spacing).encode() + bytes(4 * 5 * 6 * 2)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.nrrd", nrrd("(1,0,0) (0.3,1,0) (0,0,2)"), "sheared"),
        ("a.nrrd", nrrd("(1,0,0) (1,0,0) (0,0,2)"), "singular"),
        ("a.nrrd", nrrd("(1,0,0) (0,0,0) (0,0,2)"), "zero"),
        ("a.nrrd", nrrd("(1,0,0) (0,nan,0) (0,0,2)"), "non-finite"),
        (
            "a.nrrd",
            nrrd("none (1,0,0) (0,1,0) (0,0,2)", sizes="3 4 5 6", kinds="RGB-color " + "domain " * 3, rank=4),
            "color",
        ),
        ("a.nrrd", nrrd("(1,0,0) (0,1,0) (0,0,2) none", sizes="4 5 6 3", kinds="domain " * 3 + "list", rank=4), "4D"),
        ("a.nrrd", nrrd(sizes="4 5 1"), "single slice"),
        ("a.nrrd", nrrd()[:400], "damaged"),
        ("a.nrrd", b"NRRD0004\n", "damaged"),
        ("a.nrrd", b"not a header at all", "damaged"),
        ("a.nhdr", nrrd().replace(b"encoding: raw", b"encoding: raw\ndata file: absent.raw"), "lacks its data file"),
        ("a.mha", meta("1 0 0 0.3 1 0 0 0 1"), "sheared"),
        ("a.mha", meta("1 0 0 1 0 0 0 0 1"), "singular"),
        ("a.mha", meta(spacing="1 0 2"), "zero"),
        ("a.mha", meta(spacing="1 nan 2"), "zero|non-finite|not a number"),
        ("a.mha", meta()[:-9], "cut off"),
        ("a.mha", meta()[:60], "damaged"),
        ("a.mhd", meta().replace(b"LOCAL", b"absent.raw"), "lacks its data file"),
        ("a.nii", b"x" * 1000, "damaged"),
        ("a.dcm", b"x" * 1000, "no DICOM file"),
        ("a.png", b"\x89PNG\r\n", "no known kind"),
        ("a", b"?" * 300, "no known kind"),
        ("a.nii.gz", b"", "empty file"),
        ("a.nrrd", b"", "empty file"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_sentence(tmp_path, capfd, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=sentence) as refusal:
        read_volume(tmp_path / name)
    message = str(refusal.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "itk" not in message.lower()
    assert capfd.readouterr() == ("", "")


def test_a_four_dimensional_volume_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6, 3], sitk.sitkInt16), str(tmp_path / "a.mha"))
    with pytest.raises(VolumeError, match="4 dimensions"):
        read_volume(tmp_path / "a.mha")


def test_a_complex_volume_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(tmp_path / "a.nrrd"))
    with pytest.raises(VolumeError, match="complex"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize(("space", "codes"), [("right-anterior-superior", "RAS"), ("left-anterior-superior", "LAS")])
def test_a_nrrd_in_another_patient_frame_is_turned(tmp_path, space, codes):
    (tmp_path / "a.nrrd").write_bytes(nrrd().replace(b"left-posterior-superior", space.encode()))
    grid = read_volume(tmp_path / "a.nrrd").grid
    assert grid.axis_codes == codes
    assert np.allclose(grid.affine[:3, 3], {"RAS": (1, 2, 3), "LAS": (-1, 2, 3)}[codes])


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(VolumeError, match=r"no file or folder .*absent"):
        read_volume(tmp_path / "absent.nii.gz")


def test_a_series_of_a_file_that_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "a.mha").write_bytes(meta())
    with pytest.raises(VolumeError, match="not DICOM"):
        read_volume(tmp_path / "a.mha", series_uid="1.2")


def test_voxels_that_are_not_numbers_are_left_to_those_who_use_them(tmp_path, an_oblique_grid):
    array = np.full(an_oblique_grid.shape, np.nan, dtype=np.float32)
    sitk.WriteImage(sitk_from_array(array, an_oblique_grid), str(tmp_path / "a.nrrd"))
    assert np.isnan(read_volume(tmp_path / "a.nrrd").array).all()


def test_labels_stored_as_whole_floats_become_integers(tmp_path, an_oblique_grid, a_mask_of):
    array = a_mask_of(an_oblique_grid).astype(np.float32) * 3
    sitk.WriteImage(sitk_from_array(array, an_oblique_grid), str(tmp_path / "a.nii.gz"))
    labels = read_labels(tmp_path / "a.nii.gz").array
    assert np.issubdtype(labels.dtype, np.integer)
    assert np.array_equal(labels, array)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_an_image_is_no_label_map(tmp_path, an_oblique_grid, value):
    array = np.full(an_oblique_grid.shape, value, dtype=np.float32)
    sitk.WriteImage(sitk_from_array(array, an_oblique_grid), str(tmp_path / "a.nrrd"))
    with pytest.raises(VolumeError, match="no label map"):
        read_labels(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_labels_of_any_type_and_layout_are_written_as_uint8(tmp_path, a_left_handed_grid, suffix, layout):
    labels = np.arange(210).reshape(a_left_handed_grid.shape).astype(np.int64, order=layout)
    write_labels(tmp_path / f"a{suffix}", labels, a_left_handed_grid)
    again = read_labels(tmp_path / f"a{suffix}").array
    assert again.dtype == np.uint8
    assert np.array_equal(again, labels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_labels_beyond_255_are_written_as_uint16(tmp_path, an_oblique_grid, suffix, layout):
    """FreeSurfer numbers the parts of the cortex from 1,000 on."""
    labels = (np.arange(210).reshape(an_oblique_grid.shape) + 2000).astype(np.int32, order=layout)
    write_labels(tmp_path / f"a{suffix}", labels, an_oblique_grid)
    again = read_labels(tmp_path / f"a{suffix}").array
    assert again.dtype == np.uint16
    assert np.array_equal(again, labels)


def test_segments_have_the_names_of_the_labels_that_are_said(tmp_path, an_oblique_grid):
    labels = np.zeros(an_oblique_grid.shape, np.uint16)
    labels[0], labels[1] = 7, 1002
    write_labels(tmp_path / "a.seg.nrrd", labels, an_oblique_grid, names={7: "brain\\stem", 1002: "cortex"})
    assert segment_names(tmp_path / "a.seg.nrrd") == {7: "brain\\stem", 1002: "cortex"}


@pytest.mark.parametrize("value", [65536, -1, 0.5, np.nan])
def test_labels_beyond_uint16_are_refused_and_nothing_is_written(tmp_path, an_oblique_grid, value):
    with pytest.raises(OutputError, match="0 to 65535"):
        write_labels(tmp_path / "a.nrrd", np.full(an_oblique_grid.shape, value), an_oblique_grid)
    assert not list(tmp_path.iterdir())


def test_a_mask_of_another_shape_is_refused(tmp_path, an_oblique_grid):
    with pytest.raises(OutputError, match="segment this volume again"):
        write_labels(tmp_path / "a.nrrd", np.zeros((7, 6, 5), dtype=bool), an_oblique_grid)


@pytest.mark.parametrize("name", ["mask.dcm", "mask", "mask.mha.gz", ".nii.bak"])
def test_a_name_that_does_not_tell_the_format_is_refused(tmp_path, an_oblique_grid, name):
    with pytest.raises(OutputError, match=r"\.nii\.gz"):
        check_labels_path(tmp_path / name)
    with pytest.raises(OutputError, match=r"\.nii\.gz"):
        write_labels(tmp_path / name, np.zeros(an_oblique_grid.shape, dtype=bool), an_oblique_grid)


def test_a_good_path_is_accepted_and_left_untouched(tmp_path):
    check_labels_path(tmp_path / "mask.seg.nrrd")
    assert not list(tmp_path.iterdir())
