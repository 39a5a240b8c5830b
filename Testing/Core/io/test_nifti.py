"""NIfTI headers as they are found: both versions, both byte orders, both matrices, and what cannot be trusted."""

import gzip
import logging

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.errors import VolumeError
from inference_core.io.files import read_volume
from inference_core.io.nifti_forms import quaternion

LETTERS = {"quatern": "bcd", "qoffset": "xyz", "srow": "xyz"}


@pytest.fixture
def a_nifti(tmp_path, an_oblique_grid, voxels_of):
    """Writes the oblique grid's int16 voxels as NIfTI with header fields changed."""

    def write(*, version=1, order="<", name="image.nii.gz", pixels=None, keep=None, **fields):
        kind, offset = (nibabel.Nifti1Header, 352) if version == 1 else (nibabel.Nifti2Header, 544)
        header = np.zeros((), dtype=kind.template_dtype.newbyteorder(order))
        header["xyzt_units"] = 2
        header["sizeof_hdr"], header["magic"] = kind.sizeof_hdr, b"n+1" if version == 1 else b"n+2"
        header["dim"] = (3, *an_oblique_grid.shape, 1, 1, 1, 1)
        header["datatype"], header["bitpix"], header["vox_offset"] = 4, 16, offset
        qfac, bcd = quaternion(an_oblique_grid.affine[:3, :3] / np.asarray(an_oblique_grid.spacing))
        fields = {"quatern": bcd, "qoffset": an_oblique_grid.affine[:3, 3], "srow": an_oblique_grid.affine[:3]} | fields
        header["pixdim"] = (qfac, *an_oblique_grid.spacing, 0, 0, 0, 0)
        header["sform_code"] = 1
        for field, value in fields.items():
            keys = [f"{field}_{letter}" for letter in LETTERS[field]] if field in LETTERS else [field]
            for key, part in zip(keys, value if field in LETTERS else [value], strict=True):
                header[key] = part
        if pixels is None:
            pixels = voxels_of(an_oblique_grid).astype(np.dtype(np.int16).newbyteorder(order)).tobytes(order="F")
        data = header.tobytes().ljust(offset, b"\0") + pixels
        data = gzip.compress(data) if name.endswith(".gz") else data
        (tmp_path / name).write_bytes(data[:keep])
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "form", [{"version": v, "order": o, "name": f"image{s}"} for v in (1, 2) for o in "<>" for s in (".nii", ".nii.gz")]
)
def test_both_versions_and_byte_orders_are_read(a_nifti, an_oblique_grid, voxels_of, form):
    volume = read_volume(a_nifti(**form))
    assert volume.array.dtype == np.dtype(np.int16)
    assert volume.array.dtype.isnative
    assert np.array_equal(volume.array, voxels_of(an_oblique_grid))
    assert volume.grid.matches(an_oblique_grid)
    assert volume.name == "image"


def test_the_qform_is_used_where_there_is_no_sform(a_nifti, an_oblique_grid):
    path = a_nifti(sform_code=0, qform_code=1, srow=np.zeros((3, 4)))
    assert read_volume(path).grid.matches(an_oblique_grid, tolerance_mm=5e-3)


def test_the_sform_wins_over_a_qform_that_disagrees_and_the_log_says_so(a_nifti, an_oblique_grid, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_volume(a_nifti(qform_code=1, qoffset=(0, 0, 0))).grid.matches(an_oblique_grid)
    assert "disagree" in caplog.text


def test_a_file_without_orientation_lies_as_slicer_shows_it(a_nifti, caplog):
    path = a_nifti(sform_code=0)
    image = sitk.ReadImage(str(path))
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert image.GetOrigin() == (0, 0, 0)
    grid = read_volume(path).grid
    assert grid.axis_codes == "LPS"
    assert np.allclose(grid.spacing, (0.5, 0.75, 3.0))
    assert "does not say how it lies" in caplog.text


def test_units_of_meters_and_micrometers_become_millimeters(a_nifti, an_oblique_grid):
    in_meters = np.vstack([an_oblique_grid.affine[:3] / 1000])
    sizes = (1, *np.divide(an_oblique_grid.spacing, 1000), 1, 1, 1, 1)
    assert read_volume(a_nifti(srow=in_meters, pixdim=sizes, xyzt_units=1)).grid.matches(
        an_oblique_grid, tolerance_mm=1e-3
    )


def test_voxels_are_scaled_where_the_header_says_so(a_nifti, an_oblique_grid, voxels_of):
    volume = read_volume(a_nifti(scl_slope=0.5, scl_inter=-10))
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, voxels_of(an_oblique_grid) * 0.5 - 10)


@pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
def test_a_slope_that_says_nothing_leaves_integers_whole(a_nifti, slope):
    assert read_volume(a_nifti(scl_slope=slope)).array.dtype == np.int16


def test_trailing_dimensions_of_one_are_dropped(a_nifti, an_oblique_grid):
    assert read_volume(a_nifti(dim=(4, *an_oblique_grid.shape, 1, 1, 1, 1))).grid.shape == an_oblique_grid.shape


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"dim": (4, 5, 6, 7, 3, 1, 1, 1)}, "4 dimensions"),
        ({"dim": (5, 5, 6, 7, 1, 3, 1, 1)}, "5 dimensions"),
        ({"dim": (3, 5, 6, 1, 1, 1, 1, 1)}, "single slice"),
        ({"dim": (2, 5, 6, 1, 1, 1, 1, 1)}, "single slice"),
        ({"pixdim": (1, 1, -1, 1, 1, 1, 1, 1)}, "zero, negative"),
        ({"pixdim": (1, 1, np.nan, 1, 1, 1, 1, 1)}, "not a number"),
        ({"srow": [[1, 0, 0, 1e300], [0, 1, 0, 0], [0, 0, 1, 0]]}, "non-finite|beyond any"),
        ({"srow": [[1, 0, 0, 1e30], [0, 1, 0, 0], [0, 0, 1, 0]], "pixdim": (1, 1, 1, 1, 1, 1, 1, 1)}, "beyond any"),
        ({"dim": (0, 5, 6, 7, 1, 1, 1, 1)}, "damaged"),
        ({"dim": (3, 5, -6, 7, 1, 1, 1, 1)}, "damaged"),
        ({"dim": (3, 30000, 30000, 30000, 1, 1, 1, 1)}, "damaged|cut off"),
        ({"datatype": 128}, "colors"),
        ({"datatype": 2304}, "colors"),
        ({"datatype": 32}, "complex"),
        ({"datatype": 1536}, "unusual type"),
        ({"magic": b"xyz"}, "Analyze image"),
        ({"sizeof_hdr": 12}, "not a readable NIfTI"),
        ({"srow": [[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]}, "sheared"),
        ({"srow": [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]}, "singular"),
        ({"srow": [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]}, "zero"),
        ({"srow": [[1, 0, 0, 0], [0, np.nan, 0, 0], [0, 0, 1, 0]]}, "non-finite"),
        ({"srow": [[1, 0, 0, 0], [0, 1, 0, np.inf], [0, 0, 1, 0]]}, "non-finite"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": (1, 1, 0, 1, 1, 1, 1, 1)}, "zero"),
        ({"sform_code": 0, "qform_code": 1, "quatern": (np.nan, 0, 0)}, "non-finite"),
    ],
)
def test_a_header_that_cannot_be_trusted_is_refused(a_nifti, fields, sentence):
    with pytest.raises(VolumeError, match=sentence):
        read_volume(a_nifti(**fields))


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("keep", [-1, -30, 400, 348, 100, 3])
def test_a_file_cut_off_anywhere_is_refused(a_nifti, name, keep):
    with pytest.raises(VolumeError, match="cut off"):
        read_volume(a_nifti(name=name, keep=keep))


def test_a_changed_byte_in_a_compressed_file_is_noticed(a_nifti):
    path = a_nifti()
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF  # the checksum
    path.write_bytes(data)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)


def test_a_compressed_file_under_a_plain_name_is_read(a_nifti, an_oblique_grid):
    compressed = a_nifti()
    assert read_volume(compressed.rename(compressed.with_name("image.nii"))).grid.matches(an_oblique_grid)
