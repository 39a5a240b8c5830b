"""Fetching a model's weights, on the user's word only: resumable, verified, and in place whole or not at all.

A fetch in progress is `NAME.part`, and `NAME.part.json` says which version of the file on the server it is a part of.
One that the server can tell from others (by an ETag or a date) is gone on with, any other is begun again.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference_core.errors import DownloadError
from inference_core.io.opening import why
from inference_core.models.download_lock import alone
from inference_core.models.spec import ModelSpec
from inference_core.models.store import models_dir

Progress = Callable[[int, int | None], None]
Opener = Callable[[urllib.request.Request], Any]

_BLOCK = 1 << 18
_TIMEOUT_S = 30.0
# The sizes in the registry are rounded as the servers' pages show them.
_SIZE_TOLERANCE = 0.01
# Beyond these no one reads on: of what was expected, or of a file that nobody told the size of.
_MOST_OF_EXPECTED = 1.1
_MOST_BYTES = 20 * 10**9
_LONGEST_NUMBER = 18
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@dataclass(frozen=True)
class Downloaded:
    """Where the weights are now, their sha256, and whether it was compared with a published one."""

    path: Path
    sha256: str
    verified: bool


@dataclass(frozen=True)
class _Version:
    """What tells one version of a file on a server from another."""

    url: str
    etag: str | None
    modified: str | None
    size: int | None

    @property
    def condition(self) -> str | None:
        """What a server is asked to go on by (If-Range); a weak ETag does not tell byte from byte."""
        strong = self.etag is not None and self.etag.startswith('"') and len(self.etag) > len('""')
        return self.etag if strong else self.modified or None


def download(
    spec: ModelSpec,
    *,
    source: Path | None = None,
    progress: Progress = lambda _received, _total: None,
    opener: Opener | None = None,
) -> Downloaded:
    """Put a model's weights into `store.models_dir()`, from its address or from a local file.

    `progress` gets the bytes so far and the total where it is known; what it raises stops the fetch, to be resumed.
    While another process fetches the same file, it is waited for, and what it has fetched is taken. `opener` opens a
    request as `urllib.request.urlopen` does, which also honors the proxies of the environment.

    Raises:
        DownloadError: no connection, an HTTP error, a cut-off or wrong file, a full disk or a folder without access.
    """
    target = models_dir() / spec.checkpoint.filename
    part = target.with_name(target.name + ".part")
    with _disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target, lambda: progress(_size_of(part), None)) as waited:
            if source is not None:
                return _take(spec, source, target, progress)
            url = _checked_url(spec)
            if waited and (fetched := _fetched_by_another(spec, target)) is not None:
                return fetched
            _fetch(url, part, limit=_limit(spec), progress=progress, opener=opener or _urlopen)
            return _finish(spec, part, target)


def _take(spec: ModelSpec, source: Path, target: Path, progress: Progress) -> Downloaded:
    """Copy a user's file, under a name that no other file has: it may be a part of an earlier fetch itself."""
    copy = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        _copy(source, copy, limit=_limit(spec), progress=progress)
        return _finish(spec, copy, target)
    finally:
        copy.unlink(missing_ok=True)


def _copy(source: Path, copy: Path, *, limit: int, progress: Progress) -> None:
    try:
        file = source.open("rb")
    except (OSError, ValueError) as error:
        raise DownloadError(f"'{source}' cannot be read ({why(error)}); give the path of the file.") from error
    with file, copy.open("xb") as sink:
        total = source.stat().st_size
        _pour(lambda: file.read(_BLOCK), sink, progress=progress, start=0, total=total, limit=limit)


def _fetched_by_another(spec: ModelSpec, target: Path) -> Downloaded | None:
    """What the process that was waited for has put in place; None where it has failed."""
    from inference_core.models.weights import sha256_of

    if not target.is_file():
        return None
    sha256, expected = sha256_of(target), spec.checkpoint.sha256
    if expected is not None and sha256 != expected.lower():
        return None
    return Downloaded(target, sha256, verified=expected is not None)


def _limit(spec: ModelSpec) -> int:
    size = spec.checkpoint.size_bytes
    return _MOST_BYTES if size is None else int(_MOST_OF_EXPECTED * size)


def _fetch(url: str, part: Path, *, limit: int, progress: Progress, opener: Opener) -> None:
    known = _read_note(part)
    start = _size_of(part)
    if known is not None and known.url == url and 0 < start == known.size:
        return
    if known is None or known.url != url or known.condition is None or known.size is None or start > known.size:
        _forget(part)
        known, start = _Version(url, None, None, None), 0
    with _opened(opener, _request(url, start, known.condition)) as response:
        version = _version_of(response, url)
        partial = response.status == http.client.PARTIAL_CONTENT
        resumed = partial and version == known and _first_byte(response) == start
        if resumed or response.status == http.client.OK:
            _check_size(version.size, limit)
            _receive(response, part, version=version, start=start if resumed else 0, limit=limit, progress=progress)
            return
        if start == 0:
            raise DownloadError(
                f"The server answered {response.status} to a request for the whole file; {_by_hand(url)}."
            )
    # The file on the server has changed, so that its tail does not belong to the part that is here.
    _forget(part)
    _fetch(url, part, limit=limit, progress=progress, opener=opener)


def _check_size(size: int | None, limit: int) -> None:
    if size is not None and size > limit:
        raise DownloadError(
            f"The file has {size / 1e6:.1f} MB where {limit / 1e6:.1f} MB are the most that was expected; "
            "it is another one, so nothing more of it was fetched."
        )


def _receive(response: Any, part: Path, *, version: _Version, start: int, limit: int, progress: Progress) -> None:
    free = shutil.disk_usage(part.parent).free
    if version.size is not None and version.size - start > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _note_of(part).write_text(json.dumps(asdict(version)), encoding="utf-8")
    read = partial(_read, response, again=_again(version))
    try:
        with part.open("ab" if start else "wb") as sink:
            received = _pour(read, sink, progress=progress, start=start, total=version.size, limit=limit)
    except _TooLong:
        _forget(part)
        raise
    if version.size is not None and received != version.size:
        raise DownloadError(
            f"The connection broke after {received / 1e6:.1f} of {version.size / 1e6:.1f} MB; {_again(version)}."
        )


def _again(version: _Version) -> str:
    goes_on = version.condition is not None and version.size is not None
    return "run the download again" + (" to go on from there" if goes_on else "; this server lets it begin anew only")


def _read(response: Any, *, again: str) -> bytes:
    try:
        block: bytes = response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"The connection broke ({error}); {again}.") from error
    return block


class _TooLong(DownloadError):
    """More came than was expected."""


def _pour(
    read: Callable[[], bytes], sink: Any, *, progress: Progress, start: int, total: int | None, limit: int
) -> int:
    received = start
    progress(received, total)
    while block := read():
        received += len(block)
        if received > limit:
            raise _TooLong(
                f"More than the {limit / 1e6:.1f} MB came that were expected at most; it is another file, or has no "
                "end, so it was not kept."
            )
        sink.write(block)
        progress(received, total)
    return received


def _finish(spec: ModelSpec, part: Path, target: Path) -> Downloaded:
    from inference_core.models.weights import sha256_of

    size, expected_size = part.stat().st_size, spec.checkpoint.size_bytes
    if expected_size is not None and abs(size - expected_size) > _SIZE_TOLERANCE * expected_size:
        _forget(part)
        raise DownloadError(
            f"'{target.name}' has {size / 1e6:.1f} MB where {expected_size / 1e6:.1f} MB were expected; "
            "the file is cut off or another one, so get it again."
        )
    sha256, expected = sha256_of(part), spec.checkpoint.sha256
    if expected is not None and sha256 != expected.lower():
        _forget(part)
        raise DownloadError(
            f"'{target.name}' is not the published file (sha256 {sha256[:12]}..., expected {expected[:12]}...); "
            "it was not kept, so get it again."
        )
    part.replace(target)
    _forget(part)
    return Downloaded(target, sha256, verified=expected is not None)


def _checked_url(spec: ModelSpec) -> str:
    url = spec.checkpoint.url
    if url is None:
        raise DownloadError(no_address(spec))
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"The address '{url}' is neither http nor https; give a file with `--from FILE`.")
    return url


def no_address(spec: ModelSpec) -> str:
    """What to tell someone who wants to fetch weights that have no address of their own."""
    page = spec.checkpoint.page
    where = "give a file" if page is None else f"get the file by way of {page} and give it"
    return f"{spec.title} has no address to fetch it from; {where} with `--from FILE`."


def _request(url: str, start: int, condition: str | None = None) -> urllib.request.Request:
    # Compressed in transit, a file has no byte ranges that could be resumed.
    headers = {"User-Agent": "SAM3DSegment", "Accept-Encoding": "identity"}
    if start > 0:
        headers["Range"] = f"bytes={start}-"
        if condition is not None:
            headers["If-Range"] = condition
    return urllib.request.Request(url, headers=headers)


@contextmanager
def _opened(opener: Opener, request: urllib.request.Request) -> Iterator[Any]:
    """The response to a request: one with a body, or a refused byte range (status 416)."""
    url = request.full_url
    try:
        response = opener(request)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()
            raise DownloadError(f"The server answered {error.code} ({error.reason}); {_by_hand(url)}.") from error
        response = error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"There is no connection to {urlsplit(url).netloc} ({reason}); {_by_hand(url)}.") from error
    with response:
        # A redirection may lead elsewhere, but not to another protocol or out of an encrypted one.
        allowed = ("https",) if urlsplit(url).scheme == "https" else ("http", "https")
        if urlsplit(response.url).scheme not in allowed:
            raise DownloadError(f"The server sends the download on to an address that is not secure; {_by_hand(url)}.")
        yield response


def _by_hand(url: str) -> str:
    return f"try again later, or fetch {url} in a browser and give the file with `--from FILE`"


def _urlopen(request: urllib.request.Request) -> Any:
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)


def _version_of(response: Any, url: str) -> _Version:
    """The version a response belongs to; its size is the whole file's, also where only a part is sent."""
    length = response.headers.get("Content-Length")
    if response.status == http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Range", "").rpartition("/")[2]
    return _Version(url, response.headers.get("ETag"), response.headers.get("Last-Modified"), _number(length))


def _first_byte(response: Any) -> int | None:
    return _number(response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0])


def _number(text: str | None) -> int | None:
    known = text is not None and text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    return int(text) if known and text is not None else None


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> _Version | None:
    try:
        note = json.loads(_note_of(part).read_text(encoding="utf-8"))
        version = _Version(note["url"], note["etag"], note["modified"], note["size"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    texts = all(isinstance(text, (str, type(None))) for text in (version.url, version.etag, version.modified))
    return version if texts and type(version.size) in (int, type(None)) else None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DownloadError(
                f"The disk of '{folder}' is full; free some space and run the download again."
            ) from error
        raise DownloadError(
            f"The folder '{folder}' cannot be written ({error.strerror or error}); "
            "set SAM3DSEGMENT_MODELS to a folder of yours."
        ) from error
