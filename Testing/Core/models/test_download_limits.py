"""Downloads that must not grow without end, mix two files, take the user's own, or get in each other's way."""

import json
import os
import signal
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path

import pytest
from support.weights_server import BODY, spec_at

from inference_core.errors import Cancelled, DownloadError
from inference_core.models.download import download
from inference_core.models.download_lock import alone

ROOT = Path(__file__).resolve().parents[3]
OTHER = BODY[::-1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def cut_off(a_server, a_spec, at=700_000):
    a_server.cut = at
    with pytest.raises(DownloadError, match="The connection broke"):
        download(a_spec)
    a_server.cut = None


@pytest.mark.timeout(30)
def test_a_file_without_an_end_is_not_read_to_its_end(a_server, a_spec, a_folder):
    a_server.endless, a_server.tells_length = True, False
    with pytest.raises(DownloadError, match=r"More than the 2\.3 MB came"):
        download(a_spec)
    assert names(a_folder) == []


def test_a_file_that_is_said_to_be_too_large_is_not_begun(a_server, a_spec, a_folder):
    a_server.length = str(3 * 10**12)
    with pytest.raises(DownloadError, match=r"has 3000000\.0 MB where 2\.3 MB are the most"):
        download(a_spec)
    assert names(a_folder) == []


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "1e3", "two", "٣"])
def test_a_length_that_is_no_number_is_not_believed(a_server, a_spec, a_folder, length):
    a_server.length = length.encode().decode("latin-1")
    assert download(a_spec).path.read_bytes() == BODY


@pytest.mark.parametrize("end", ["", ".json"])
def test_a_users_part_file_is_taken_and_kept(a_server, a_spec, a_folder, end):
    cut_off(a_server, a_spec)
    mine = a_folder / f"{a_spec.checkpoint.filename}.part{end}"
    mine.write_bytes(BODY)
    assert download(a_spec, source=mine).path.read_bytes() == BODY
    assert mine.read_bytes() == BODY


@pytest.mark.parametrize("content", [BODY[:-1], BODY[:-1] + b"?", BODY + BODY], ids=["short", "wrong", "long"])
def test_a_users_part_file_that_is_refused_is_kept(a_spec, a_folder, content):
    a_folder.mkdir()
    mine = a_folder / f"{a_spec.checkpoint.filename}.part"
    mine.write_bytes(content)
    with pytest.raises(DownloadError):
        download(a_spec, source=mine)
    assert names(a_folder) == [mine.name]
    assert mine.read_bytes() == content


def test_the_installed_file_can_be_given_itself(a_spec, a_folder):
    a_folder.mkdir()
    mine = a_folder / a_spec.checkpoint.filename
    mine.write_bytes(BODY)
    assert download(a_spec, source=mine).path.read_bytes() == BODY
    assert names(a_folder) == [mine.name]


def test_a_links_target_is_kept_where_the_link_is_given(a_spec, a_folder, tmp_path):
    a_folder.mkdir()
    (tmp_path / "mine.pth").write_bytes(BODY)
    link = a_folder / f"{a_spec.checkpoint.filename}.part"
    link.symlink_to(tmp_path / "mine.pth")
    assert download(a_spec, source=link).path.read_bytes() == BODY
    assert (tmp_path / "mine.pth").read_bytes() == BODY
    assert link.is_symlink()


@pytest.mark.parametrize(
    "manners", list(product((True, False), repeat=2)), ids=lambda manners: "ranges {}, If-Range {}".format(*manners)
)
@pytest.mark.parametrize(
    "versions",
    [
        pytest.param(((None, None), (None, None)), id="nothing tells"),
        pytest.param((('W/"v"', None), ('W/"v"', None)), id="a weak tag"),
        pytest.param((("", None), ("", None)), id="an empty tag"),
        pytest.param(((None, "Mon, 01 Jan 2024 00:00:00 GMT"), (None, "Tue, 02 Jan 2024 00:00:00 GMT")), id="dates"),
        pytest.param((('"v1"', None), ('"v2"', None)), id="tags"),
        pytest.param((('"v1"', None), (None, None)), id="a tag gone"),
        pytest.param(((None, None), ('"v2"', None)), id="a tag come"),
    ],
)
def test_two_files_of_one_size_are_never_mixed(a_server, a_spec, a_folder, manners, versions):
    (a_server.ranges, a_server.heeds_conditions), (before, after) = manners, versions
    a_server.etag, a_server.modified = before
    cut_off(a_server, spec_at(a_spec.checkpoint.url))
    a_server.body = OTHER
    a_server.etag, a_server.modified = after
    assert download(spec_at(a_spec.checkpoint.url)).path.read_bytes() == OTHER


@pytest.mark.parametrize("tells", [('"v1"', None), (None, "Mon, 01 Jan 2024 00:00:00 GMT")], ids=["a tag", "a date"])
def test_what_tells_a_file_apart_lets_it_be_gone_on_with(a_server, a_spec, a_folder, tells):
    a_server.heeds_conditions = True
    a_server.etag, a_server.modified = tells
    cut_off(a_server, a_spec)
    assert download(a_spec).path.read_bytes() == BODY
    assert a_server.requests == [None, "bytes=700000-"]


def test_it_is_said_where_a_download_cannot_be_gone_on_with(a_server, a_spec, a_folder):
    a_server.etag, a_server.cut = None, 1000
    with pytest.raises(DownloadError, match=r"run the download again; this server lets it begin anew only\.$"):
        download(a_spec)


DAMAGED_NOTES = ["", "[]", "null", "[" * 9000, '{"url": 3}', '{"url": "u", "etag": 1, "modified": null, "size": "x"}',
                 '{"url": "URL", "etag": 1, "modified": null, "size": 2048000}',
                 '{"url": "URL", "etag": null, "modified": [], "size": 1e9}']  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED_NOTES)
def test_a_damaged_note_is_not_built_upon(a_server, a_spec, a_folder, content):
    cut_off(a_server, a_spec)
    (a_folder / f"{a_spec.checkpoint.filename}.part.json").write_text(content.replace("URL", a_spec.checkpoint.url))
    assert download(a_spec).path.read_bytes() == BODY
    assert names(a_folder) == [a_spec.checkpoint.filename]


def test_of_two_downloads_at_once_one_waits_and_takes_what_the_other_fetched(a_server, a_spec, a_folder, caplog):
    caplog.set_level("INFO")
    begun, go_on, results = threading.Event(), threading.Event(), {}

    def first(received, _total):
        if received:
            begun.set()
            assert go_on.wait(20)

    def second(_received, total):
        if total is None:
            go_on.set()

    def fetch(name, progress):
        results[name] = download(a_spec, progress=progress).path.read_bytes()

    one = threading.Thread(target=fetch, args=("one", first))
    two = threading.Thread(target=fetch, args=("two", second))
    one.start()
    assert begun.wait(20)
    two.start()
    one.join(30)
    two.join(30)
    assert results == {"one": BODY, "two": BODY}
    assert a_server.requests == [None]
    assert "Another download" in caplog.text
    assert names(a_folder) == [a_spec.checkpoint.filename]


def test_who_waits_fetches_it_where_the_other_failed(a_server, a_spec, a_folder):
    begun, waiting, errors, results = threading.Event(), threading.Event(), [], []

    def stop(received, _total):
        if received:
            begun.set()
            assert waiting.wait(20)
            raise Cancelled("Stopped.")

    def fail():
        try:
            download(a_spec, progress=stop)
        except Cancelled as error:
            errors.append(error)

    def succeed():
        results.append(download(a_spec, progress=lambda _n, total: total or waiting.set()).path.read_bytes())

    one, two = threading.Thread(target=fail), threading.Thread(target=succeed)
    one.start()
    assert begun.wait(20)
    two.start()
    one.join(30)
    two.join(30)
    assert len(errors) == 1
    assert results == [BODY]


def test_the_user_can_stop_waiting(a_server, a_spec, a_folder):
    def stop(_received, total):
        if total is None:
            raise Cancelled("Stopped.")

    a_folder.mkdir()
    with alone(a_folder / a_spec.checkpoint.filename, lambda: None), pytest.raises(Cancelled):
        download(a_spec, progress=stop)
    assert download(a_spec).path.read_bytes() == BODY


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_was_killed_holds_nothing_up(a_server, a_spec, a_folder):
    a_folder.mkdir()
    target = a_folder / a_spec.checkpoint.filename
    program = (
        "import sys, time; from pathlib import Path\n"
        "from inference_core.models.download_lock import alone\n"
        "with alone(Path(sys.argv[1]), lambda: None): print('held', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"held"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert download(a_spec).path.read_bytes() == BODY
    assert names(a_folder) == [target.name]


def test_an_older_versions_note_is_not_built_upon(a_server, a_spec, a_folder):
    cut_off(a_server, a_spec)
    note = a_folder / f"{a_spec.checkpoint.filename}.part.json"
    content = json.loads(note.read_text())
    del content["modified"]
    note.write_text(json.dumps(content))
    assert download(a_spec).path.read_bytes() == BODY
    assert a_server.requests == [None, None]
