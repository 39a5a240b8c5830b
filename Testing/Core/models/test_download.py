"""Downloads from a server on this machine that misbehaves on demand."""

import errno
import hashlib
import socket
import threading
from http.server import ThreadingHTTPServer

import pytest
from support.weights_server import BODY, Handler, spec_at

from inference_core.errors import Cancelled, DownloadError
from inference_core.models import download as download_module
from inference_core.models.download import download
from inference_core.models.store import FOLDER_VARIABLE, installed_path


def cut_off(a_server, a_spec, at=700_000):
    a_server.cut = at
    with pytest.raises(DownloadError, match="go on from there"):
        download(a_spec)
    a_server.cut = None


def test_weights_are_fetched_verified_and_found_again(a_server, a_spec, a_folder):
    seen = []
    done = download(a_spec, progress=lambda received, total: seen.append((received, total)))
    assert done.path.read_bytes() == BODY
    assert done.verified
    assert done.sha256 == hashlib.sha256(BODY).hexdigest()
    assert installed_path(a_spec) == done.path
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [path.name for path in a_folder.iterdir()] == [a_spec.checkpoint.filename]


def test_without_a_published_hash_it_is_said_that_nothing_was_compared(a_server, a_spec, a_folder):
    done = download(spec_at(a_spec.checkpoint.url))
    assert not done.verified
    assert done.sha256 == hashlib.sha256(BODY).hexdigest()


def test_a_cut_off_download_goes_on_where_it_stopped(a_server, a_spec, a_folder):
    cut_off(a_server, a_spec)
    assert installed_path(a_spec) is None
    seen = []
    done = download(a_spec, progress=lambda received, _total: seen.append(received))
    assert done.path.read_bytes() == BODY
    assert a_server.requests == [None, "bytes=700000-"]
    assert seen[0] == 700_000


def test_a_server_without_ranges_sends_everything_again(a_server, a_spec, a_folder):
    cut_off(a_server, a_spec)
    a_server.ranges = False
    assert download(a_spec).path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("change", "etag"),
    [
        pytest.param(BODY[::-1], '"v2"', id="same size, other ETag"),
        pytest.param(BODY[:-1000], '"v1"', id="shorter, same ETag"),
        pytest.param(BODY + BODY[:500], '"v2"', id="longer"),
        pytest.param(BODY[:300_000], '"v2"', id="shorter than the part"),
    ],
)
def test_a_file_that_changed_on_the_server_is_fetched_anew(a_server, a_spec, a_folder, change, etag):
    cut_off(a_server, a_spec)
    a_server.body, a_server.etag = change, etag
    spec = spec_at(a_spec.checkpoint.url, size=None)
    assert download(spec).path.read_bytes() == change


def test_a_download_the_user_stopped_goes_on_later(a_server, a_spec, a_folder):
    def stop(received, _total):
        if received > 500_000:
            raise Cancelled("The download was stopped.")

    with pytest.raises(Cancelled):
        download(a_spec, progress=stop)
    assert download(a_spec).path.read_bytes() == BODY
    assert a_server.requests[1].startswith("bytes=")


def test_a_finished_part_is_not_fetched_again(a_server, a_spec, a_folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download_module, "_finish", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            download(a_spec)
    assert download(a_spec).path.read_bytes() == BODY
    assert len(a_server.requests) == 1


def test_a_part_of_unknown_origin_is_not_built_upon(a_server, a_spec, a_folder):
    a_folder.mkdir()
    (a_folder / f"{a_spec.checkpoint.filename}.part").write_bytes(b"?" * 1000)
    assert download(a_spec).path.read_bytes() == BODY
    assert a_server.requests == [None]


def test_a_wrong_hash_is_refused_and_removed(a_server, a_spec, a_folder):
    with pytest.raises(DownloadError, match=r"not the published file \(sha256 .* expected 000000000000"):
        download(spec_at(a_spec.checkpoint.url, sha256="0" * 64))
    assert list(a_folder.iterdir()) == []


def test_a_wrong_hash_leaves_the_installed_file_in_place(a_server, a_spec, a_folder):
    kept = download(a_spec).path
    with pytest.raises(DownloadError):
        download(spec_at(a_spec.checkpoint.url, sha256="0" * 64))
    assert kept.read_bytes() == BODY


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without a length"])
def test_a_file_of_another_size_is_refused(a_server, a_spec, a_folder, told):
    a_server.body, a_server.tells_length = BODY[: len(BODY) // 2], told
    with pytest.raises(DownloadError, match=r"has 1\.0 MB where 2\.0 MB were expected"):
        download(a_spec)
    assert list(a_folder.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_what_the_server_refuses_is_told_with_another_way(a_server, a_spec, a_folder, status):
    a_server.status = status
    with pytest.raises(DownloadError, match=rf"answered {status} .*--from FILE"):
        download(a_spec)


def test_no_connection_is_told(a_folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match=rf"no connection to 127\.0\.0\.1:{port} .*--from FILE"):
        download(spec_at(f"http://127.0.0.1:{port}/weights.pth"))


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/weights.pth", "weights.pth"])
def test_only_web_addresses_are_fetched(a_folder, url):
    with pytest.raises(DownloadError, match="neither http nor https"):
        download(spec_at(url))


def test_a_redirection_is_followed_with_the_range(a_server, a_spec, a_folder):
    cut_off(a_server, a_spec)
    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front.status, front.redirect, front.requests = 200, a_spec.checkpoint.url, []
    threading.Thread(target=front.handle_request).start()
    part = a_folder / f"{a_spec.checkpoint.filename}.part.json"
    url = f"http://127.0.0.1:{front.server_port}/weights.pth"
    part.write_text(part.read_text().replace(a_spec.checkpoint.url, url))
    assert download(spec_at(url)).path.read_bytes() == BODY
    front.server_close()
    assert a_server.requests[-1] == "bytes=700000-"


def test_an_encrypted_address_may_not_lead_to_an_open_one(a_server, a_spec, a_folder):
    def opener(_request):
        return download_module._urlopen(download_module._request(a_spec.checkpoint.url, 0))

    with pytest.raises(DownloadError, match="not secure"):
        download(spec_at("https://example.org/weights.pth"), opener=opener)


def test_a_model_without_an_address_asks_for_a_file(a_folder):
    with pytest.raises(DownloadError, match="--from FILE"):
        download(spec_at(None))


def test_a_local_file_is_copied_and_verified(a_spec, a_folder, tmp_path):
    source = tmp_path / "from a browser.pth"
    source.write_bytes(BODY)
    done = download(a_spec, source=source)
    assert done.path.read_bytes() == BODY
    assert done.verified
    assert source.exists()
    source.write_bytes(BODY[:-1] + b"?")
    with pytest.raises(DownloadError, match="not the published file"):
        download(a_spec, source=source)
    assert done.path.read_bytes() == BODY


def test_a_local_file_that_cannot_be_read_is_refused(a_spec, a_folder, tmp_path):
    for source in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(DownloadError, match="cannot be read"):
            download(a_spec, source=source)


def test_a_folder_that_cannot_be_made_is_refused(a_server, a_spec, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file" / "models"))
    with pytest.raises(DownloadError, match="set SAM3DSEGMENT_MODELS"):
        download(a_spec)


def test_a_disk_too_small_is_told_before_the_fetch(a_server, a_spec, a_folder, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DownloadError, match=r"The disk of .* is full"):
        download(a_spec)


def test_a_disk_that_fills_up_is_told_and_the_part_kept(a_server, a_spec, a_folder, monkeypatch):
    def full(_read, sink, **_arguments):
        sink.write(BODY[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download_module, "_pour", full)
        with pytest.raises(DownloadError, match=r"The disk of .* is full"):
            download(a_spec)
    assert download(a_spec).path.read_bytes() == BODY
    assert a_server.requests[-1] == "bytes=1000-"
