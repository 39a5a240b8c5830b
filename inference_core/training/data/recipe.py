"""What is known of a published data set before it is read: where its files lie, what they hold, what papers did.

A recipe is a record, not code. A pattern is a path below the source, at any depth: {case} stands for a part of a name,
{case:[0-9]+} for one of a form, * for any characters and **/ for any folders; upper and lower case are alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """How a case's files are read."""

    VOLUMES = "volumes"
    PICTURES = "pictures"  # a picture is a volume of one slice
    FRAMES = "frames"  # a video's frames are a volume's slices
    PER_CLASS = "folders per class"


@dataclass(frozen=True)
class Window:
    """How a paper scales intensities: clipped to lower and upper, then, where given, less the mean over the SD.

    A quantile stands in for a bound that is a case's own.
    """

    lower: float | None = None
    upper: float | None = None
    mean: float | None = None
    std: float | None = None
    lower_quantile: float | None = None
    upper_quantile: float | None = None

    def as_json(self) -> dict[str, float]:
        """Without what is not given."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Counts:
    """So many cases on each side, drawn by a seed; of a set of another size, as many in proportion."""

    train: int
    validation: int
    test: int = 0


@dataclass(frozen=True)
class Listed:
    """The named cases for validation and test, all others for training; several entries are folds."""

    folds: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True)
class Published:
    """The sides on which the publisher's folders put the cases."""


SplitRule = Counts | Listed | Published


@dataclass(frozen=True)
class Paper:
    """What one paper did with a set: window, spacing in mm (None: its own), split, and the classes it segments.

    `merge` gives label values new ones. `said` is what the paper or its specification leaves open.
    """

    window: Window | None = None
    spacing: tuple[float, float, float] | None = None
    split: SplitRule = field(default_factory=Published)
    targets: tuple[str, ...] = ()
    merge: Mapping[int, int] = field(default_factory=dict)
    said: str = ""


@dataclass(frozen=True)
class Source:
    """Where cases lie: a pattern for each channel's image, one for the label, a case's name, and its published side."""

    images: tuple[str, ...]
    label: str
    name: str = "{case}"
    side: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A published data set. `values` maps what label files hold to classes where the numbers differ."""

    name: str
    title: str
    sources: tuple[Source, ...]
    channels: tuple[str, ...]
    classes: Mapping[int, str]
    papers: Mapping[str, Paper]
    kind: Kind = Kind.VOLUMES
    values: Mapping[int, int] = field(default_factory=dict)
    colors: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    patient_pattern: str = "(.+)"
    numbers: tuple[int, int] | None = None
    """Only cases whose name ends in a number from the first to the second, both included."""

    def paper(self, name: str | None) -> tuple[str, Paper]:
        """The paper of a name, else the first.

        Raises:
            OptionError: no such paper used the set.
        """
        from inference_core.errors import OptionError

        chosen = name or next(iter(self.papers))
        if chosen not in self.papers:
            there = ", ".join(self.papers)
            raise OptionError(f"'{self.name}' is not prepared as in '{chosen}'; choose one of {there}.")
        return chosen, self.papers[chosen]

    def classes_of(self, paper: Paper) -> dict[int, str]:
        """The classes that are left after a paper's merging."""
        return {value: name for value, name in self.classes.items() if value not in paper.merge}

    def value_map(self, paper: Paper) -> dict[int, int]:
        """From what label files hold to what is written; empty where nothing changes."""
        found = dict(self.values)
        for old, new in paper.merge.items():
            found = {raw: new if value == old else value for raw, value in found.items()}
            found.setdefault(old, new)
        return found

    def as_json(self, paper: Paper) -> dict[str, Any]:
        """What dataset.json says beyond nnU-Net's own keys."""
        content: dict[str, Any] = {"patient_pattern": self.patient_pattern}
        if paper.window is not None:
            content["window"] = paper.window.as_json()
        if paper.spacing is not None:
            content["spacing"] = list(paper.spacing)
        if paper.targets:
            content["targets"] = list(paper.targets)
        if self.regions:
            content["regions"] = {name: list(values) for name, values in self.regions.items()}
        return content
