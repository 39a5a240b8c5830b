"""NRRD and MetaImage headers: checked before ITK sees them, and damaged data refused."""

import os
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_core.errors import VolumeError
from inference_core.io.files import read_volume
from inference_core.io.itk import sitk_from_array
from inference_core.io.nrrd_header import nrrd_grid

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 1 2",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(1,0,0) (0,1,0) (0,0,2)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
VOXELS = np.arange(120, dtype="<i2").tobytes()


def meta(data=VOXELS, *, local="LOCAL", **fields):
    lines = [f"{name} = {value}" for name, value in (META | fields).items()]
    return ("\n".join([*lines, f"ElementDataFile = {local}"]) + "\n").encode() + data


def nrrd(data=VOXELS, **fields):
    fields = {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in (NRRD | fields).items() if value is not None]
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + data


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (meta(ElementSpacing="1 1e300 1"), "beyond any patient"),
        (meta(ElementSpacing="1 -1 1"), "zero or negative"),
        (meta(ElementSpacing="1 none 1"), "missing or non-finite"),
        (meta(Offset="0 inf 0"), "missing or non-finite"),
        (meta(Offset="0 0"), "missing or non-finite"),
        (meta(Offset="0 0 1e300"), "beyond any patient"),
        (meta(TransformMatrix="1 0 0 0 nan 0 0 0 1"), "missing or non-finite"),
        (meta(DimSize="4 4.5 6"), "whole numbers"),
        (meta(DimSize="4 -5 6"), "whole numbers"),
        (meta(DimSize="4 5"), "whole numbers"),
        (meta(DimSize="99999 99999 99999"), "cut off|no volume has"),
        (meta(NDims="1e9"), "whole numbers"),
        (meta(NDims="2", DimSize="4 30"), "2 dimensions"),
        (meta(b"1 2 3", BinaryData="False"), "as text"),
        (meta(ElementType="MET_STRING"), "unusual type"),
        (meta(ElementNumberOfChannels="3"), "numbers a voxel"),
        (meta(local="LOCAL\x01"), "damaged"),
        (meta(local="LOCALX"), "lacks its data file"),
        (meta(local="%n%n%n%n"), "one plain data file"),
        (meta(local="slice%03d.raw 1 6 1"), "one plain data file"),
        (meta(local="LIST"), "one plain data file"),
        (meta(local="/etc/passwd"), "one plain data file"),
        (meta(local="../secret.raw"), "one plain data file"),
        (meta(VOXELS[:-1]), "cut off"),
        (b"ElementDataFile", "damaged"),
        (b"NDims = 3\n" * 200000, "damaged"),
    ],
)
def test_a_metaimage_that_lies_is_refused_in_one_sentence(tmp_path, capfd, content, sentence):
    (tmp_path / "a.mha").write_bytes(content)
    with pytest.raises(VolumeError, match=sentence) as refusal:
        read_volume(tmp_path / "a.mha")
    assert str(refusal.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (nrrd(space_directions="(1,0,0) (0,1e300,0) (0,0,2)"), "beyond any patient"),
        (nrrd(space_directions="none (0,1,0) (0,0,2)"), "missing numbers"),
        (nrrd(space_directions="(1,0,0) (0,1,0)"), "missing numbers"),
        (nrrd(space_origin="(1,nan,3)"), "non-finite"),
        (nrrd(space_directions=None, spacings="1 -1 1"), "zero or negative"),
        (nrrd(space_directions=None, spacings="1 nan 1"), "non-finite"),
        (nrrd(sizes="4 4.5 6"), "whole numbers"),
        (nrrd(sizes="4 5 -6"), "whole numbers"),
        (nrrd(sizes="4 5 0"), "whole numbers|no volume has"),
        (nrrd(dimension="0"), "whole numbers|no volume has"),
        (nrrd(data_file="%d.raw 1 6 1"), "one plain data file"),
        (nrrd(datafile="LIST"), "one plain data file"),
        (nrrd(VOXELS[:-2]), "cut off"),
    ],
)
def test_an_nrrd_that_lies_is_refused_in_one_sentence(tmp_path, capfd, content, sentence):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(VolumeError, match=sentence) as refusal:
        read_volume(tmp_path / "a.nrrd")
    assert str(refusal.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_sound_headers_are_read(tmp_path):
    (tmp_path / "a.mha").write_bytes(meta())
    (tmp_path / "b.mhd").write_bytes(meta(b"", local="b.raw"))
    (tmp_path / "b.raw").write_bytes(VOXELS)
    (tmp_path / "c.nrrd").write_bytes(nrrd())
    for name in ("a.mha", "b.mhd", "c.nrrd"):
        assert np.array_equal(read_volume(tmp_path / name).array.ravel(order="F"), np.arange(120)), name


@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_a_wrong_byte_in_compressed_data_is_noticed(tmp_path, name, a_left_handed_grid, voxels_of):
    image = sitk_from_array(voxels_of(a_left_handed_grid), a_left_handed_grid)
    sitk.WriteImage(image, str(tmp_path / name), useCompression=True)
    assert np.array_equal(read_volume(tmp_path / name).array, voxels_of(a_left_handed_grid))
    holder = tmp_path / name if name == "a.mha" else tmp_path / "a.zraw"
    data = bytearray(holder.read_bytes())
    data[-20] ^= 0x10
    holder.write_bytes(data)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(tmp_path / name)


def test_compressed_data_of_untold_length_are_refused(tmp_path):
    (tmp_path / "a.mha").write_bytes(meta(zlib.compress(VOXELS), CompressedData="True"))
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(tmp_path / "a.mha")


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_a_pipe_in_place_of_the_data_is_refused_before_it_is_opened(tmp_path, name):
    os.mkfifo(tmp_path / "a.raw")
    content = meta(b"", local="a.raw") if name == "a.mhd" else nrrd(b"", data_file="a.raw")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match="lacks its data file"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("kind", [meta, nrrd])
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 330), byte=st.integers(0, 255), drop=st.booleans())
def test_any_byte_of_a_text_header_may_be_wrong(tmp_path, kind, at, byte, drop):
    content = bytearray(kind())
    content[at : at + 1] = b"" if drop else bytes([byte])
    path = tmp_path / ("a.mha" if kind is meta else "a.nrrd")
    path.write_bytes(content)
    try:
        volume = read_volume(path)
    except VolumeError:
        return
    assert np.isfinite(volume.grid.affine).all()


LONG = "a" * 1500


@pytest.mark.parametrize("line", [LONG, f"{LONG}: 3", "no such field: 3", f"content: {LONG}", "(" * 1100])
@pytest.mark.parametrize("end", [b"\n\n", b""], ids=["with an end", "cut off"])
def test_a_line_that_would_end_itks_process_is_refused(tmp_path, line, end):
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in NRRD.items()), line]
    path = tmp_path / "image.nrrd"
    path.write_bytes("\n".join(lines).encode() + end + (VOXELS if end else b""))
    with pytest.raises(VolumeError, match=r"image\.nrrd"):
        read_volume(path)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_one_place_in_every_frame_of_nrrd_is_read_as_one_place_by_every_version_of_itk(tmp_path, space, signs):
    """SimpleITK before 2.5 mirrors left-anterior-superior; the frame is read from the header there."""
    axes = np.array([[0.6, 0.8, 0.0], [-1.6, 1.2, 0.0], [0.0, 0.0, -3.0]])
    told = axes * signs
    directions = " ".join("(" + ",".join(map(str, row)) + ")" for row in told)
    origin = "(" + ",".join(map(str, np.array([10.0, 20.0, 30.0]) * signs)) + ")"
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(**{"space": space, "space directions": directions, "space origin": origin}))
    affine = read_volume(path).grid.affine
    ras = np.diag([-1.0, -1.0, 1.0])
    assert np.allclose(affine[:3, :3], ras @ axes.T)
    assert np.allclose(affine[:3, 3], ras @ [10.0, 20.0, 30.0])
    own = nrrd_grid(path)
    assert (own is not None) == (signs == (1, -1, 1)), "these are not left to ITK"
    assert own is None or np.allclose(own.affine, affine)
