"""Ways to spoil bytes and header texts; what comes out depends on the generator alone."""

from __future__ import annotations

import numpy as np

_NUMBERS = ("nan", "inf", "-inf", "none", "1e300", "-1", "0", "4.5", "99999999999", "1e-300", "%n%n%n", "", "0x10", "٣")
_WORDS = (b"LOCAL", b"LIST", b"/dev/zero", b"../up.raw", b"%n%s", b"raw", b"gzip", b"\x00", b"\xff\xfe", b"a" * 3000)


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, doubled or put in; sometimes the end cut off."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(0, max(1, min(len(content), 4096 if rng.random() < 0.8 else len(content)))))
        kind = rng.integers(0, 5)
        if kind == 0:
            content[at : at + 1] = rng.integers(0, 256, 1, dtype=np.uint8).tobytes()
        elif kind == 1:
            del content[at : at + int(rng.integers(1, 64))]
        elif kind == 2:
            content[at:at] = content[at : at + int(rng.integers(1, 64))]
        elif kind == 3:
            content[at : at + 4] = int(rng.integers(-(2**31), 2**31)).to_bytes(4, "little", signed=True)
        else:
            content[at:at] = _WORDS[int(rng.integers(0, len(_WORDS)))]
    return bytes(content[: int(rng.integers(0, len(content) + 1))] if rng.random() < 0.15 else content)


def spoiled_text(header: str, rng: np.random.Generator) -> str:
    """A header of lines with a number, a line or a key changed."""
    lines = header.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(lines)))
        words = lines[at].split(" ")
        kind = rng.integers(0, 4)
        if kind == 0:
            words[int(rng.integers(0, len(words)))] = str(rng.choice(_NUMBERS))
            lines[at] = " ".join(words)
        elif kind == 1:
            lines[at] = lines[int(rng.integers(0, len(lines)))]
        elif kind == 2:
            lines[at] = " ".join(words[: int(rng.integers(0, len(words) + 1))])
        else:
            lines[at] += f" {rng.choice(_NUMBERS)}"
    return "\n".join(lines) + "\n"
