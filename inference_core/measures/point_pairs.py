"""The two points farthest apart, and the two nearest, exactly and without comparing all with all."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np

from inference_core.geometry.grid import Float

Pair = tuple[Float, Float]

_AT_ONCE = 512
_LEAF = 48


def farthest_pair(points: Float) -> Pair:
    """The two of some points (n, d), n > 0, that are farthest apart.

    Points that lie too near the middle to be one of them are left out by the triangle inequality.
    """
    one, other = _far_apart(points)
    longest = float(((one - other) ** 2).sum())
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = np.linalg.norm(points - middle, axis=1)
    outer = points[radius + radius.max() >= np.sqrt(longest)]
    for start in range(0, len(outer), _AT_ONCE):
        block = outer[start : start + _AT_ONCE]
        squared = _squared(block, outer[start:])
        at = int(squared.argmax())
        if squared.flat[at] > longest:
            longest = float(squared.flat[at])
            one, other = block[at // squared.shape[1]], outer[start:][at % squared.shape[1]]
    return one, other


def nearest_pair(points: Float, others: Float) -> Pair:
    """A point of `points` (n, d) and one of `others` (m, d) that are nearest to each other; both hold some.

    Branch and bound: halves whose boxes are farther apart than the nearest pair found so far are not looked into.
    """
    best: Pair = (points[0], others[0])
    shortest = float(((best[0] - best[1]) ** 2).sum())
    first = (_Cloud.of(points), _Cloud.of(others))
    tie = count()
    waiting = [(first[0].gap(first[1]), next(tie), *first)]
    while waiting and waiting[0][0] < shortest:
        _, _, a, b = heapq.heappop(waiting)
        if max(len(a.points), len(b.points)) <= _LEAF:
            squared = _squared(a.points, b.points)
            at = int(squared.argmin())
            if squared.flat[at] < shortest:
                shortest = float(squared.flat[at])
                best = (a.points[at // squared.shape[1]], b.points[at % squared.shape[1]])
            continue
        larger_first = len(a.points) >= len(b.points)
        for half in (a if larger_first else b).halves():
            pair = (half, b) if larger_first else (a, half)
            if (gap := pair[0].gap(pair[1])) < shortest:
                heapq.heappush(waiting, (gap, next(tie), *pair))
    return best


@dataclass(frozen=True, eq=False)
class _Cloud:
    """Points and the box around them."""

    points: Float
    low: Float
    high: Float

    @classmethod
    def of(cls, points: Float) -> _Cloud:
        return cls(points, points.min(axis=0), points.max(axis=0))

    def gap(self, other: _Cloud) -> float:
        """The squared distance of the boxes: no pair is nearer."""
        apart = np.maximum(0, np.maximum(self.low - other.high, other.low - self.high))
        return float((apart**2).sum())

    def halves(self) -> tuple[_Cloud, _Cloud]:
        axis = int(np.argmax(self.high - self.low))
        middle = len(self.points) // 2
        order = np.argpartition(self.points[:, axis], middle)
        return _Cloud.of(self.points[order[:middle]]), _Cloud.of(self.points[order[middle:]])


def _far_apart(points: Float) -> Pair:
    """Two points far apart, found by going from one to the farthest from it a few times."""
    one = points[0]
    other = one
    for _ in range(4):
        one, other = other, points[int(((points - other) ** 2).sum(axis=1).argmax())]
    return one, other


def _squared(points: Float, others: Float) -> Float:
    """Squared distances (n, m)."""
    total = np.zeros((len(points), len(others)))
    for axis in range(points.shape[1]):
        total += (points[:, axis, None] - others[None, :, axis]) ** 2
    return total
