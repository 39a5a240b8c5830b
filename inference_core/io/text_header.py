"""What the text headers of NRRD and MetaImage have in common: bounded lines, checked numbers, one plain data file.

ITK's readers take numbers such as 4.5 voxels or 1e300 mm as they come, and print their way through a file name that
holds a pattern. Headers are therefore checked here before ITK sees them.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import BinaryIO

from inference_core.errors import VolumeError
from inference_core.io.opening import is_regular_file

_LONGEST_HEADER = 1 << 20
_MOST_VOXELS = 2**40
_MOST_MM = 1e7
_CHUNK = 1 << 22


def header_lines(stream: BinaryIO, path: Path, *, last: str = "") -> list[str]:
    """The lines up to an empty one, or to the one that begins with `last`; the stream then stands at the data.

    Raises:
        VolumeError: there is no such end within a megabyte.
    """
    lines: list[str] = []
    while stream.tell() < _LONGEST_HEADER:
        line = stream.readline(_LONGEST_HEADER)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not line or (not last and not text):
            return lines
        lines.append(text)
        if last and text.split("=")[0].strip() == last:
            return lines
    raise unreadable(path)


def whole_numbers(text: str, count: int, path: Path, *, what: str) -> tuple[int, ...]:
    """`count` positive whole numbers of voxels.

    Raises:
        VolumeError: they are not.
    """
    parts = text.split()
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise VolumeError(f"'{path.name}' has {what} '{text[:60]}' where whole numbers are needed; correct its header.")
    sizes = tuple(int(part) for part in parts)
    if min(sizes) < 1 or math.prod(sizes) > _MOST_VOXELS:
        raise VolumeError(f"'{path.name}' has {what} '{text[:60]}', which no volume has; correct its header.")
    return sizes


def sane_numbers(text: str, count: int, path: Path, *, what: str) -> tuple[float, ...]:
    """`count` finite numbers that a patient's volume can have.

    Raises:
        VolumeError: they are not.
    """
    try:
        numbers = tuple(float(part) for part in text.split())
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise VolumeError(
            f"'{path.name}' has missing or non-finite numbers in its {what} ('{text[:60]}'); convert it again."
        )
    if any(abs(number) > _MOST_MM for number in numbers):
        raise VolumeError(f"'{path.name}' has a {what} beyond any patient's ('{text[:60]}'); correct its header.")
    return numbers


def check_spacing(spacing: tuple[float, ...], path: Path) -> None:
    """Refuse distances that are not above zero.

    Raises:
        VolumeError: one is not.
    """
    if min(spacing) <= 0:
        raise VolumeError(f"'{path.name}' has a voxel spacing that is zero or negative; correct its spacing.")


def data_file(name: str, header: Path) -> Path:
    """The one plain file beside a header, or in a folder below it, that holds its voxels.

    Raises:
        VolumeError: the name is a pattern or a list, leads elsewhere, or no plain file is there.
    """
    place = Path(name)
    if not name or "%" in name or name.split(maxsplit=1)[0] == "LIST" or place.is_absolute() or ".." in place.parts:
        raise VolumeError(
            f"'{header.name}' does not name one plain data file beside it ('{name[:60]}'); save it again as one file."
        )
    found = header.parent / place
    if not is_regular_file(found):
        raise VolumeError(f"'{header.name}' lacks its data file '{name[:60]}'; copy both.")
    return found


def check_inflates(stream: BinaryIO, *, size: int | None, expected: int, header: Path) -> None:
    """Refuse a compressed stream that is damaged or does not hold `expected` bytes.

    Raises:
        VolumeError: as said.
    """
    inflating = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    left, held = size, 0
    try:
        while not inflating.eof and held <= expected:
            piece = stream.read(_CHUNK if left is None else min(_CHUNK, left))
            if not piece:
                break
            left = None if left is None else left - len(piece)
            while piece and held <= expected:
                held += len(inflating.decompress(piece, _CHUNK))
                piece = inflating.unconsumed_tail
    except zlib.error as error:
        raise unreadable(header) from error
    if held != expected or not inflating.eof:
        raise unreadable(header)


def unreadable(path: Path) -> VolumeError:
    """The sentence for a file that is not whole."""
    return VolumeError(f"'{path.name}' cannot be read: it is damaged, cut off or lacks its data file; copy it again.")
