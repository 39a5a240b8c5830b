"""The parts of a DICOM series: phases, echoes, time points, b-values, stacks; each of them is one volume.

Many scanners and archives put several volumes into one series. What tells them apart is looked for among the
attributes that may: the first by which no part has two slices at one place, and all parts are even stacks if possible.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from inference_core.errors import VolumeError, one_line
from inference_core.geometry.grid import Grid
from inference_core.io.dicom_frames import Frame
from inference_core.io.slice_stack import SAME_PLACE_MM, Stack, stack_slices

_NOUNS = {
    "StackID": "stacks",
    "AcquisitionNumber": "phases",
    "TemporalPositionIdentifier": "time points",
    "EchoTime": "echoes",
    "EchoNumbers": "echoes",
    "DiffusionBValue": "b-values",
    "b-value": "b-values",
    "InversionTime": "inversion times",
    "FlipAngle": "flip angles",
    "NominalPercentageOfCardiacPhase": "phases",
    "ImageType": "kinds of image",
    "ConvolutionKernel": "reconstructions",
    "ReconstructionDiameter": "reconstructions",
    "EnergyWindowVector": "energy windows",
    "PhaseVector": "phases",
    "TimeSlotVector": "time slots",
    "RRIntervalVector": "phases",
    "TimeSliceVector": "time points",
    "FrameReferenceTime": "time points",
    "TriggerTime": "phases",
    "AcquisitionTime": "time points",
    "AcquisitionDateTime": "time points",
    "ContentTime": "time points",
    "DiffusionGradientOrientation": "directions",
    "gradient direction": "directions",
    "SliceThickness": "slice thicknesses",
    "file": "files",
    **{f"dimension {number}": "volumes" for number in range(1, 6)},  # of an enhanced file, whatever they mean
}
# These differ from slice to slice too; by them, slices at one place are put in order.
_ORDERS = {
    "TriggerTime": "phases",
    "TemporalPositionIdentifier": "time points",
    "FrameReferenceTime": "time points",
    "AcquisitionDateTime": "time points",
    "AcquisitionTime": "time points",
    "ContentTime": "time points",
    "InstanceNumber": "volumes",
}
_LEAST_SLICES = 2
_MOST_SHOWN = 6
_TURNED = 0.02


@dataclass(frozen=True, eq=False)
class Part:
    """Slices of a series that belong to one volume, and by what attribute's value they were told apart."""

    frames: tuple[Frame, ...]
    attribute: str = ""
    value: Any = None
    noun: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.frames[0].header.size

    @property
    def label(self) -> str:
        """The value, as one reads it."""
        return _readable(self.value)

    def stack(self) -> Stack:
        """The order of the frames, and their grid.

        Raises:
            VolumeError: they do not say where they lie or how large their pixels are, or make no even, upright stack.
        """
        _check_places(self.frames)
        spacings = np.array([frame.spacing for frame in self.frames])
        return stack_slices(
            np.array([frame.position for frame in self.frames]),
            np.array([frame.orientation for frame in self.frames]),
            spacing=(float(spacings[0, 0]), float(spacings[0, 1])),
            size=self.size,
        )

    def grid(self) -> Grid | None:
        """The grid, where the slices make one."""
        try:
            return self.stack().grid
        except VolumeError:
            return None


def parts_of(frames: Sequence[Frame]) -> tuple[tuple[Part, ...], tuple[Frame, ...]]:
    """The parts of a series' frames, and the frames left out: localizers, and slices of another kind than the most.

    Where a part is no even stack although no slices share their place, it is left as it is for `Part.stack` to refuse.
    """
    groups = sorted(_by_geometry(frames), key=len, reverse=True)
    kept = [group for n, group in enumerate(groups) if n == 0 or len(group) > _LEAST_SLICES]
    dropped = tuple(frame for group in groups if not any(group is one for one in kept) for frame in group)
    parts: list[Part] = []
    for group in kept:
        found = _told_apart(group)
        if len(kept) > 1:
            found = tuple(_of_stack(part, number=len(parts) + n) for n, part in enumerate(found, start=1))
        parts += found
    return tuple(parts), dropped


def described(parts: Sequence[Part]) -> str:
    """How many parts there are and what tells them apart: "2 phases, told apart by AcquisitionNumber 1, 2"."""
    labels = [part.label for part in parts[:_MOST_SHOWN]] + (["..."] if len(parts) > _MOST_SHOWN else [])
    return f"{len(parts)} {parts[0].noun}, told apart by {parts[0].attribute} {', '.join(labels)}"


def _by_geometry(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one kind, size, spacing and direction; a rounding error makes no difference."""
    groups: dict[Any, list[list[Frame]]] = defaultdict(list)
    for frame in frames:
        header = frame.header
        placed = frame.position is not None and frame.orientation is not None
        alike = groups[header.sop_class, header.size, header.scalar, placed]
        near = next((group for group in alike if _same_plane(group[0], frame)), None)
        if near is None:
            alike.append([frame])
        else:
            near.append(frame)
    return [group for alike in groups.values() for group in alike]


def _same_plane(one: Frame, other: Frame) -> bool:
    directions = [frame.orientation for frame in (one, other) if frame.orientation is not None]
    # Wider than the slices of a stack may be turned: slices that are turned a little are refused, not left out.
    if len(directions) == 2 and np.abs(directions[0] - directions[1]).max() > _TURNED:
        return False
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return bool(np.allclose(one.spacing, other.spacing, rtol=0, atol=1e-3))


def _told_apart(frames: list[Frame]) -> tuple[Part, ...]:
    whole = Part(tuple(frames))
    if any(frame.position is None or frame.orientation is None or frame.spacing is None for frame in frames):
        return (whole,)
    most = max(Counter(_place_keys(frames)).values())
    if most == 1 and (whole.grid() is not None or len(frames) < 2 * _LEAST_SLICES):
        return (whole,)
    candidates = [split for split in _splits(frames, most=most) if _usable(split, most=most)]
    if most == 1:  # no two slices at one place: only even stacks are a reason to split
        candidates = [split for split in candidates if all(part.grid() is not None for part in split)]
    candidates = candidates or (_ranked(frames, most=most) if most > 1 else [])
    return min(candidates, key=_cost, default=(whole,))


def _splits(frames: list[Frame], *, most: int) -> Iterable[tuple[Part, ...]]:
    """The ways to divide frames by one attribute; by two where one is not enough."""
    columns = {name: [frame.attribute(name) for frame in frames] for name in _NOUNS}
    varying = {name: column for name, column in columns.items() if len({*column}) > 1}
    single = [_divided(frames, column, name=name, noun=_NOUNS[name]) for name, column in varying.items()]
    if any(_usable(split, most=most) for split in single):
        return single
    return [
        _divided(frames, [*zip(varying[a], varying[b], strict=True)], name=f"{a} and {b}", noun="volumes")
        for a, b in combinations(varying, 2)
    ]


def _divided(frames: Sequence[Frame], column: Sequence[Any], *, name: str, noun: str) -> tuple[Part, ...]:
    groups: dict[Any, list[Frame]] = defaultdict(list)
    for frame, found in zip(frames, column, strict=True):
        groups[found].append(frame)
    return tuple(Part(tuple(groups[key]), name, key, noun) for key in sorted(groups, key=_sortable))


def _usable(split: tuple[Part, ...], *, most: int) -> bool:
    """No two slices at one place, no part of a lone slice, and hardly more parts than slices at one place."""
    if len(split) < max(2, most) or any(len(part.frames) < _LEAST_SLICES for part in split):
        return False
    return all(max(Counter(_place_keys(part.frames)).values()) == 1 for part in split)


def _cost(split: tuple[Part, ...]) -> tuple[int, int]:
    return sum(part.grid() is None for part in split), len(split)


def _ranked(frames: list[Frame], *, most: int) -> list[tuple[Part, ...]]:
    """Where every place has equally many slices: the first of each place, the second of each, and so on."""
    places: dict[Any, list[Frame]] = defaultdict(list)
    for key, frame in zip(_place_keys(frames), frames, strict=True):
        places[key].append(frame)
    if any(len(group) != most for group in places.values()):
        return []
    for name, noun in _ORDERS.items():
        values = [[frame.attribute(name) for frame in group] for group in places.values()]
        if all(None not in column and len({*column}) == most for column in values):
            rows = [sorted(group, key=_attribute_of(name)) for group in places.values()]
            return [
                tuple(
                    Part(tuple(row[rank] for row in rows), f"{name}, in its order at each place,", rank + 1, noun)
                    for rank in range(most)
                )
            ]
    return []


def _attribute_of(name: str) -> Callable[[Frame], Any]:
    return lambda frame: _sortable(frame.attribute(name))


def _of_stack(part: Part, *, number: int) -> Part:
    """A part of a series that also holds slices of another direction or size."""
    if part.attribute:
        return Part(part.frames, f"{part.attribute} and direction", (part.value, number), "stacks")
    return Part(part.frames, "direction or size, stack", number, "stacks")


def _place_keys(frames: Iterable[Frame]) -> list[tuple[int, ...]]:
    """Keys that are equal for frames at one place."""
    positions = np.array([frame.position for frame in frames], dtype=np.float64)
    return [tuple(row) for row in np.rint(positions / (10 * SAME_PLACE_MM)).astype(np.int64).tolist()]


def _check_places(frames: tuple[Frame, ...]) -> None:
    without = sum(frame.position is None for frame in frames)
    if without:
        raise VolumeError(
            f"{without} of the {len(frames)} slices do not say where they lie in the patient; "
            "export the series with its slice positions."
        )
    if any(frame.orientation is None for frame in frames):
        raise VolumeError("The series does not say how its slices lie in the patient; export it with its orientation.")
    if any(frame.spacing is None for frame in frames):
        raise VolumeError(
            "The series does not say how large its pixels are in the patient (it has no Pixel Spacing); "
            "export it again from the scanner or the archive."
        )


def _sortable(found: Any) -> tuple[int, Any]:
    """Numbers by size, then texts, then what says nothing."""
    if found is None:
        return (2, "")
    if isinstance(found, float):
        return (0, found)
    if isinstance(found, tuple):
        return (1, "".join(str(_sortable(part)) for part in found))
    return (1, str(found))


def _readable(found: Any) -> str:
    if found is None:
        return "none"
    if isinstance(found, float):
        return f"{found:g}"
    if isinstance(found, tuple):
        return " ".join(_readable(part) for part in found)
    return one_line(found.decode("ascii", "replace") if isinstance(found, bytes) else str(found))
