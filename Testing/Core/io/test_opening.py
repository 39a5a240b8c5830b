"""Paths that lead nowhere, or to what has no end: one sentence before anything is read."""

import os
import tempfile
from pathlib import Path

import pytest

from inference_core.errors import OutputError, VolumeError
from inference_core.io.atomic import check_writable, replacing
from inference_core.io.companions import files_read, is_part_of_an_image
from inference_core.io.files import check_labels_path, read_volume

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the special files of Unix")


@pytest.mark.parametrize("name", ["pipe.nii.gz", "pipe.dcm", "pipe.mha", "pipe"])
def test_a_pipe_is_refused_before_it_is_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(VolumeError, match="has no end"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["zero.nii", "zero.dcm", "zero.nrrd"])
def test_a_device_behind_a_link_is_refused(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(VolumeError, match="has no end"):
        read_volume(tmp_path / name)


def test_special_files_in_a_series_folder_are_left_out(a_series, an_oblique_grid):
    os.mkfifo(a_series / "pipe.dcm")
    (a_series / "zero.dcm").symlink_to("/dev/zero")
    (a_series / "loop.txt").symlink_to("loop.txt")
    assert read_volume(a_series).grid.matches(an_oblique_grid)


def test_a_pipe_as_the_other_half_of_a_pair_is_not_opened(tmp_path):
    (tmp_path / "a.hdr").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"ni1\0")
    os.mkfifo(tmp_path / "a.img")
    with pytest.raises(VolumeError):
        read_volume(tmp_path / "a.hdr")


@pytest.mark.parametrize("name", ["loop/a.nii", "x" * 300 + ".nii", "a\0b.nii", "a.nii/b.nii"])
def test_a_path_that_cannot_be_reached_is_refused(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a.nii").write_bytes(b"x")
    with pytest.raises(VolumeError, match=r"cannot be reached|no file or folder"):
        read_volume(tmp_path / name)
    with pytest.raises(OutputError):
        check_labels_path(tmp_path / name.replace(".nii", ".nii.gz"))


@pytest.fixture
def as_nobody():
    """Runs without an administrator's rights, which permissions do not hold back."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.fixture
def a_locked_folder(tmp_path):
    ours = Path(tempfile.gettempdir())
    for folder in (folder for folder in [tmp_path, *tmp_path.parents] if ours in folder.parents):
        folder.chmod(0o755)
    (tmp_path / "locked").mkdir(mode=0)
    yield tmp_path / "locked"
    (tmp_path / "locked").chmod(0o755)


def test_a_file_below_a_folder_that_may_not_be_entered_is_refused(a_locked_folder, as_nobody):
    with pytest.raises(VolumeError, match="Permission denied"):
        read_volume(a_locked_folder / "a.nii")
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable(a_locked_folder / "a.nii")


def test_a_slice_that_may_not_be_opened_refuses_its_series_by_name(a_series, a_locked_folder, as_nobody):
    os.seteuid(os.getuid())
    (a_series / "slice-0003.dcm").chmod(0)
    os.seteuid(65534 if os.getuid() == 0 else os.getuid())
    with pytest.raises(VolumeError, match=r"'slice-0003\.dcm' cannot be read: it cannot be opened"):
        read_volume(a_series)


def test_a_name_that_the_disk_refuses_is_said_before_the_work(tmp_path):
    with pytest.raises(OutputError, match="name too long"):
        check_writable(tmp_path / ("x" * 300 + ".nii"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_axis_that_nifti_cannot_hold_is_said_before_the_work(tmp_path, suffix):
    with pytest.raises(OutputError, match="axis of 32768 voxels"):
        check_labels_path(tmp_path / f"a{suffix}", shape=(4, 5, 32768))
    check_labels_path(tmp_path / f"a{suffix}", shape=(4, 5, 32767))
    check_labels_path(tmp_path / "a.nrrd", shape=(4, 5, 32768))


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "mask.nii"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text() == "new"


def test_the_data_file_of_a_header_is_known_for_part_of_an_image(tmp_path, a_series):
    (tmp_path / "a.mhd").write_text("NDims = 3\nDimSize = 2 2 2\nElementDataFile = a.raw\n")
    (tmp_path / "a.raw").write_bytes(bytes(8))
    (tmp_path / "notes.json").write_text("{}")
    assert files_read(tmp_path / "a.mhd") == (tmp_path / "a.mhd", tmp_path / "a.raw")
    assert is_part_of_an_image(tmp_path / "a.raw")
    assert is_part_of_an_image(a_series / "slice-0001.dcm")
    assert not is_part_of_an_image(tmp_path / "notes.json")
    assert not is_part_of_an_image(tmp_path / "absent.json")
