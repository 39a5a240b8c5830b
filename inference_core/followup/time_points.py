"""Lesions along a series of images of one patient: from each time point to the next, and answered anew at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from inference_core.engine.session import Session
from inference_core.followup.carrying import prompts_for
from inference_core.followup.registration import NONE, align
from inference_core.followup.visits import Earlier, Later, follow
from inference_core.geometry.volume import Volume

ReadVolume = Callable[[int], Volume]
"""The image of a time point, counted from 0; read when it is its turn, so that two are in memory at most."""
OpenSession = Callable[[Volume], Session]


@dataclass(frozen=True, eq=False)
class AtTime:
    """The lesions at one time point, on its image, and what a reader should know of its alignment."""

    point: int
    volume: Volume
    lesions: tuple[Later, ...]
    caution: str = ""


def track(
    lesions: Sequence[Earlier],
    read: ReadVolume,
    open_session: OpenSession,
    *,
    count: int,
    start: int = 0,
    how: str = NONE,
    tell: Callable[[int, str], None] = lambda point, name: None,
) -> Iterator[AtTime]:
    """The lesions at `count` time points, which lie on the image of the one called `start`; yielded as they are found:
    first that one, then on to the last one, then from it back to the first one.

    From one point to the next the line across a lesion's new mask is carried, so that what moves or grows is followed;
    where the new mask is empty or doubtful, the prompts that led there. `how` aligns two neighbors, as in
    `registration.align`. tell(point, name) is called before each lesion.

    Raises:
        SAM3DError: an image cannot be read or aligned, or the model takes none of the prompts.
    """
    first = read(start)
    given = tuple(Later(lesion.name, lesion.prompts, lesion.mask) for lesion in lesions)
    yield AtTime(start, first, given)
    for points in (range(start + 1, count), range(start - 1, -1, -1)):
        before, volume = list(lesions), first
        for point in points:
            found = _next(before, volume, read(point), open_session, point=point, how=how, tell=tell)
            yield found
            before = [_going_on(old, new, found.volume) for old, new in zip(before, found.lesions, strict=True)]
            volume = found.volume


def _next(
    lesions: Sequence[Earlier],
    before: Volume,
    after: Volume,
    open_session: OpenSession,
    *,
    point: int,
    how: str,
    tell: Callable[[int, str], None],
) -> AtTime:
    found = align(before, after, how=how)
    later = follow(
        lesions, before=before, session=open_session(after), way=found.way, tell=lambda name: tell(point, name)
    )
    return AtTime(point, after, tuple(later), found.caution)


def _going_on(before: Earlier, now: Later, volume: Volume) -> Earlier:
    """What is carried to the next point: its own mask's line where that can be relied on, else the prompts alone."""
    if now.measured and not now.doubt and now.mask.array.size:
        return Earlier(before.name, prompts_for(now.mask, volume.grid), now.mask)
    return replace(before, prompts=now.prompts, mask=now.mask)
