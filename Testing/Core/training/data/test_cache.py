"""The preprocessing cache: made once, mapped afterwards, never out of date, bounded, shared by processes."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from inference_core.errors import OutputError, VolumeError
from inference_core.training.data.cache import PreprocessingCache, key_of


@pytest.fixture
def a_file(tmp_path):
    path = tmp_path / "image.nii"
    path.write_bytes(b"voxels")
    return path


class Maker:
    """Makes an array, and counts how often."""

    def __init__(self, value=1.0, shape=(3, 4)):
        self.value, self.shape, self.count = value, shape, 0

    def __call__(self):
        self.count += 1
        return np.full(self.shape, self.value)


def test_an_array_is_made_once_and_mapped_read_only_afterwards(tmp_path, a_file):
    maker = Maker()
    for _ in range(3):
        array = PreprocessingCache(tmp_path / "cache").get([a_file], {"spacing": [1, 1, 1]}, maker)
        np.testing.assert_array_equal(array, np.ones((3, 4)))
    assert maker.count == 1
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 5


def test_arrays_that_belong_together_are_made_together(tmp_path, a_file):
    cache, count = PreprocessingCache(tmp_path / "cache"), []

    def make():
        count.append(1)
        return {"image": np.full((2, 3), 1.5), "labels": np.full((2, 3), 2, dtype=np.uint8)}

    for _ in range(2):
        arrays = cache.get_arrays([a_file], {}, ("image", "labels"), make)
        assert {name: (array.dtype, array[0, 0]) for name, array in arrays.items()} == {
            "image": (np.float64, 1.5), "labels": (np.uint8, 2),
        }  # fmt: skip
    assert len(count) == 1
    next(cache.folder.glob("*.npy")).unlink()
    assert set(cache.get_arrays([a_file], {}, ("image", "labels"), make)) == {"image", "labels"}
    assert len(count) == 2


def test_a_copy_under_another_name_is_the_same_content(tmp_path, a_file):
    copy = tmp_path / "copy"
    copy.write_bytes(b"voxels")
    assert key_of([a_file], {}) == key_of([copy], {})


def test_other_content_or_parameters_are_another_entry(tmp_path, a_file):
    cache, maker = PreprocessingCache(tmp_path / "cache"), Maker()
    cache.get([a_file], {"spacing": 1.0}, maker)
    cache.get([a_file], {"spacing": 2.0}, maker)
    a_file.write_bytes(b"other!")  # of the same size
    os.utime(a_file, ns=(1, 1))
    cache.get([a_file], {"spacing": 1.0}, maker)
    assert maker.count == 3


def test_a_folder_counts_with_all_files_in_it(tmp_path, a_file):
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"a")
    before = key_of([folder], {})
    (folder / "2.dcm").write_bytes(b"b")
    assert key_of([folder], {}) != before


def test_what_was_used_longest_ago_goes_first_where_room_is_bounded(tmp_path, a_file):
    cache = PreprocessingCache(tmp_path / "cache", most_bytes=3 * 1000)
    makers = [Maker(n, (100,)) for n in range(4)]
    for n in range(3):
        cache.get([a_file], {"n": n}, makers[n])
        os.utime(next(p for p in cache.folder.glob("*.npy") if np.load(p)[0] == n), ns=(n + 1, n + 1))
    cache.get([a_file], {"n": 0}, makers[0])  # used again: now 1 is the oldest
    cache.get([a_file], {"n": 3}, makers[3])
    assert {float(np.load(path)[0]) for path in cache.folder.glob("*.npy")} == {0, 2, 3}
    assert cache.size_bytes() <= 3000


def test_a_damaged_entry_is_made_again(tmp_path, a_file):
    cache, maker = PreprocessingCache(tmp_path / "cache"), Maker()
    cache.get([a_file], {}, maker)
    next(cache.folder.glob("*.npy")).write_bytes(b"\x93NUMPY")
    np.testing.assert_array_equal(cache.get([a_file], {}, maker), np.ones((3, 4)))
    assert maker.count == 2


def test_clearing_leaves_other_files_alone(tmp_path, a_file):
    cache = PreprocessingCache(tmp_path / "cache")
    cache.get([a_file], {}, Maker())
    (cache.folder / "mine.npy").write_bytes(b"kept")
    (cache.folder / f".0123abcd-{'0' * 60}.npy").write_bytes(b"half")
    cache.clear()
    assert sorted(path.name for path in cache.folder.iterdir()) == ["CACHEDIR.TAG", "mine.npy"]


def test_an_array_is_returned_from_memory_where_the_folder_is_gone(tmp_path, a_file, caplog):
    cache = PreprocessingCache(tmp_path / "cache")
    (cache.folder / "CACHEDIR.TAG").unlink()
    cache.folder.rmdir()
    np.testing.assert_array_equal(cache.get([a_file], {}, Maker()), np.ones((3, 4)))
    assert "goes on without it" in caplog.text


def test_a_place_that_cannot_be_a_folder_is_refused(a_file):
    with pytest.raises(OutputError, match="cannot be made"):
        PreprocessingCache(a_file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="There is no file"):
        key_of([tmp_path / "gone"], {})


def _fill(folder, file, results):
    cache = PreprocessingCache(folder, most_bytes=4000)  # half of what is written, so that each evicts the other's
    right = all(
        np.array_equal(cache.get([file], {"n": n % 8}, Maker(n % 8, (100,))), np.full(100, n % 8)) for n in range(200)
    )
    results.put(right)


def test_two_processes_that_evict_each_others_entries_get_the_right_arrays(tmp_path, a_file):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_fill, args=(tmp_path / "cache", a_file, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [True, True]
    for worker in workers:
        worker.join()
    assert not list((tmp_path / "cache").glob(".*-*.npy"))
