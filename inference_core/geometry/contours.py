"""Contours of a mask in one plane: closed polygons half-way between pixels inside and their neighbors outside.

Marching squares on a binary image. Pixels that touch at a corner only are of two pieces, so no polygon touches itself.
Indices are (i, j), continuous, pixel centers at integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float
from inference_core.geometry.mask import Bools

# The four edges of the square between pixels (0, 0), (1, 0), (1, 1), (0, 1), by their middles, in half pixels.
_LOW, _RIGHT, _HIGH, _LEFT = (1, 0), (2, 1), (1, 2), (0, 1)
# Which of the pixels (0, 0), (1, 0), (1, 1), (0, 1) are inside -> the edges from and to which the boundary runs, with
# the inside on its left.
_SEGMENTS = {
    (1, 0, 0, 0): [(_LOW, _LEFT)],
    (0, 1, 0, 0): [(_RIGHT, _LOW)],
    (0, 0, 1, 0): [(_HIGH, _RIGHT)],
    (0, 0, 0, 1): [(_LEFT, _HIGH)],
    (1, 1, 0, 0): [(_RIGHT, _LEFT)],
    (0, 1, 1, 0): [(_HIGH, _LOW)],
    (0, 0, 1, 1): [(_LEFT, _RIGHT)],
    (1, 0, 0, 1): [(_LOW, _HIGH)],
    (1, 0, 1, 0): [(_LOW, _LEFT), (_HIGH, _RIGHT)],
    (0, 1, 0, 1): [(_RIGHT, _LOW), (_LEFT, _HIGH)],
    (0, 1, 1, 1): [(_LEFT, _LOW)],
    (1, 0, 1, 1): [(_LOW, _RIGHT)],
    (1, 1, 0, 1): [(_RIGHT, _HIGH)],
    (1, 1, 1, 0): [(_HIGH, _LEFT)],
}


def contour_segments(pixels: Bools) -> Float:
    """The boundary's line segments (n, 2, 2): from and to, as ij, with the inside on the left of each."""
    padded = np.pad(pixels, 1)
    corners = np.stack([padded[:-1, :-1], padded[1:, :-1], padded[1:, 1:], padded[:-1, 1:]])
    found = [np.zeros((0, 2, 2))]
    for inside, edges in _SEGMENTS.items():
        here = np.argwhere((corners == np.array(inside, dtype=bool)[:, None, None]).all(axis=0)) - 1.0
        found += [here[:, None] + np.array(edge) / 2 for edge in edges]
    return np.concatenate(found)


def contours(pixels: Bools) -> list[Float]:
    """Closed polygons (n, 2) in ij, the first point not repeated: outer ones counterclockwise, holes clockwise."""
    segments = np.rint(contour_segments(pixels) * 2).astype(np.int64)
    starts = [(int(i), int(j)) for i, j in segments[:, 0]]
    following = dict(zip(starts, ((int(i), int(j)) for i, j in segments[:, 1]), strict=True))
    found = []
    while following:
        start, point = following.popitem()
        ring = [start]
        while point != start:
            ring.append(point)
            point = following.pop(point)
        found.append(np.array(ring, dtype=np.float64) / 2)
    return found[::-1]


def signed_area(polygon: Float) -> float:
    """The area of a polygon (n, 2), positive where it runs counterclockwise."""
    following = np.roll(polygon, -1, axis=0)
    return float((polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]).sum() / 2)


def filled(polygons: list[Float], shape: tuple[int, int]) -> Bools:
    """The pixels whose centers lie inside an odd number of polygons (n, 2) in ij."""
    inside: NDArray[np.bool_] = np.zeros(shape, dtype=bool)
    columns = np.arange(shape[1])
    for polygon in polygons:
        for one, other in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            # From the same end there and back, so that a channel without width rounds alike and encloses nothing.
            (i0, j0), (i1, j1) = sorted([tuple(one), tuple(other)], key=lambda point: point[1])
            crossed = columns[(columns >= j0) & (columns < j1)]
            if crossed.size:
                at = i0 + (crossed - j0) * (i1 - i0) / (j1 - j0)
                inside[:, crossed] ^= np.arange(shape[0])[:, None] > at
    return inside


def keyholed(polygons: list[Float]) -> list[Float]:
    """Outer polygons only: each hole is joined to the polygon around it by a channel without width, there and back.

    What lies inside an odd number of polygons stays the same.
    """
    outer = [polygon for polygon in polygons if signed_area(polygon) > 0]
    holes: list[list[Float]] = [[] for _ in outer]
    for hole in (polygon for polygon in polygons if signed_area(polygon) <= 0):
        around = [n for n, polygon in enumerate(outer) if _encloses(polygon, hole)]
        holes[min(around, key=lambda n: signed_area(outer[n]))].append(hole)
    return [_joined(polygon, inside) for polygon, inside in zip(outer, holes, strict=True)]


def _encloses(polygon: Float, hole: Float) -> bool:
    """Whether a hole lies in a polygon; contours of one mask do not cross, so that one point tells."""
    # Half a pixel right of a hole's leftmost point there is the center of a pixel of the hole.
    i, j = hole[hole[:, 0].argmin()] + (0.5, 0)
    return bool(filled([polygon - (i, j)], (1, 1))[0, 0])


def _joined(polygon: Float, holes: list[Float]) -> Float:
    """The nearest hole first: the way to it crosses no other one."""
    left = list(holes)
    while left:
        gaps = [_nearest(polygon, hole) for hole in left]
        chosen = min(range(len(left)), key=lambda n: gaps[n][0])
        hole, (_, at, entry) = left.pop(chosen), gaps[chosen]
        ring = np.roll(hole, -entry, axis=0)
        polygon = np.concatenate([polygon[: at + 1], ring, ring[:1], polygon[at:]])
    return polygon


def _nearest(polygon: Float, hole: Float) -> tuple[float, int, int]:
    squared = ((polygon[:, None] - hole) ** 2).sum(axis=-1)
    at, entry = divmod(int(squared.argmin()), len(hole))
    return float(squared[at, entry]), at, entry
