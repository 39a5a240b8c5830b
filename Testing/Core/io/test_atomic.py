"""A file is written whole or not at all."""

import os
import stat
from pathlib import Path

import pydicom
import pytest

from inference_core.errors import OutputError
from inference_core.io.atomic import check_writable, make_folder, replacing
from inference_core.io.dicom_export import save

if os.name != "nt":
    import resource


def stop_halfway(path, failure):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise failure


def test_a_new_file_takes_its_place_when_it_is_complete(tmp_path):
    path = tmp_path / "mask.nii.gz"
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("mask.nii.gz")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, failure):
    path = tmp_path / "mask.nii.gz"
    path.write_text("old")
    with pytest.raises(failure):
        stop_halfway(path, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    with pytest.raises(OutputError, match="No space left"):
        stop_halfway(tmp_path / "mask.nii", OSError(28, "No space left on device"))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
def test_a_full_disk_under_a_dicom_file_is_told_in_one_sentence_with_the_users_name(tmp_path):
    """pydicom puts an error of its own, with a traceback in its text, in place of the system's."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    dataset.PixelData = bytes(100_000)
    dataset["PixelData"].VR = "OW"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError) as told, replacing(tmp_path / "a.seg.dcm") as temporary:
            save(dataset, temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(told.value) == (
        f"'{tmp_path / 'a.seg.dcm'}' could not be written (File too large); free space or change the folder."
    )
    assert not list(tmp_path.iterdir())


def test_a_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "mask") as temporary:
        temporary.touch()
    assert stat.S_IMODE((tmp_path / "mask").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_long_name_still_fits(tmp_path):
    path = tmp_path / ("x" * 240 + ".nii.gz")
    with replacing(path) as temporary:
        temporary.touch()
    assert path.exists()


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        check_writable(tmp_path / "absent" / "mask.nii")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)


def test_a_device_is_refused_and_survives():
    with pytest.raises(OutputError, match="cannot be overwritten"), replacing(os.devnull) as temporary:
        temporary.touch()
    assert Path(os.devnull).is_char_device()


def test_a_folder_that_takes_no_files_is_refused():
    if not Path("/proc").is_dir():
        pytest.skip("needs a folder that refuses files even to the administrator: /proc")
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable("/proc/mask.nii")


def test_a_folder_is_made_with_those_above_it_and_may_be_there(tmp_path):
    for _ in range(2):
        assert make_folder(tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("name", ["taken", "taken/below", "n" * 300, "nul\0"])
def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path, name):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot be made .*; choose another one"):
        make_folder(tmp_path / name)
