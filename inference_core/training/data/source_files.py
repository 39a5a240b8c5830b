"""A published set's files by a recipe's patterns: which images make a case, and where its label is."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from inference_core.errors import VolumeError
from inference_core.training.data.listing import stem_of
from inference_core.training.data.recipe import Kind, Recipe, Source

_FIELD = re.compile(r"\{(\w+)(?::([^{}]+))?\}|(\*\*/)|(\*)|([^{*]+)")
_JUNK = ("__MACOSX",)


@dataclass(frozen=True)
class Found:
    """A case of a published set: its files a channel (of a video: a frame), its labels, and its published side."""

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    side: str | None
    numbers: tuple[int, ...] = ()
    """Numbers in its name, such as a picture's own among those of one patient."""


def find_cases(recipe: Recipe, source: Path) -> tuple[Found, ...]:
    """The labeled cases below a folder, by name; images without a label are no cases.

    Raises:
        VolumeError: there are none, or two have one name.
    """
    files = _Files.below(source)
    taken: set[str] = set()
    found: list[Found] = []
    for place in recipe.sources:
        matched = _matches(place, files, taken)
        found += _sequences(matched) if recipe.kind is Kind.FRAMES else [case for _, case in matched]
    found = [case for case in found if case.labels and _in_numbers(case.name, recipe.numbers)]
    if not found:
        example = recipe.sources[0]
        raise VolumeError(
            f"'{source}' holds no labeled case of {recipe.title}; give the folder with "
            f"'{example.images[0]}' and '{example.label}' in it."
        )
    names = [case.name for case in found]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise VolumeError(f"'{source}' holds case '{twice}' twice; give the folder of one copy of the data set.")
    return tuple(sorted(found, key=lambda case: case.name))


@dataclass(frozen=True)
class _Files:
    """All files below a folder, as paths relative to it, and by the start of their names."""

    root: Path
    paths: tuple[str, ...]
    by_stem: Mapping[str, tuple[str, ...]]

    @classmethod
    def below(cls, root: Path) -> _Files:
        paths = []
        for folder, inner, names in os.walk(root):
            inner[:] = sorted(name for name in inner if name not in _JUNK and not name.startswith("."))
            place = Path(folder).relative_to(root)
            paths += [(place / name).as_posix() for name in sorted(names) if not name.startswith(".")]
        by_stem: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            by_stem[_first_part(path)].append(path)
        return cls(root, tuple(paths), {stem: tuple(found) for stem, found in by_stem.items()})

    def nearest(self, pattern: str, fields: Mapping[str, str], image: str) -> Path | None:
        """The file of a pattern whose fields are known, of several the one with the most folders of the image's."""
        filled = pattern
        for name, value in fields.items():
            filled = re.sub(rf"\{{{name}(?::[^{{}}]+)?\}}", lambda _, value=value: value, filled)  # type: ignore[misc]
        expression = _compiled(filled)
        fitting = [path for path in self.by_stem.get(_first_part(filled), ()) if expression.fullmatch(path)]
        if not fitting:
            return None
        return self.root / max(fitting, key=lambda path: _common(path, image))


def _matches(place: Source, files: _Files, taken: set[str]) -> list[tuple[str, Found]]:
    """The cases of one source, each with the path of its first image; their files are added to those taken."""
    expression = _compiled(place.images[0])
    found = []
    for path in files.paths:
        match = expression.fullmatch(path) if path not in taken else None
        if match is None:
            continue
        fields = match.groupdict()
        others = [files.nearest(pattern, fields, path) for pattern in place.images[1:]]
        label = files.nearest(place.label, fields, path)
        if label is None or None in others:
            continue
        taken.add(path)
        images = (files.root / path, *(other for other in others if other is not None))
        numbers = tuple(int(value) for value in fields.values() if value.isdigit())
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", place.name.format(**fields))
        found.append((path, Found(name, images, (label,), place.side, numbers)))
    return found


def _sequences(matched: Iterable[tuple[str, Found]]) -> list[Found]:
    """Frames of one name joined in the order of their paths."""
    joined: dict[str, Found] = {}
    for _, frame in sorted(matched, key=lambda one: one[0]):
        before = joined.get(frame.name)
        if before is None:
            joined[frame.name] = frame
        else:
            joined[frame.name] = replace(
                before, images=before.images + frame.images, labels=before.labels + frame.labels
            )
    return list(joined.values())


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression over a path's end, from the start of one of its folders on."""
    seen: set[str] = set()
    parts = []
    for name, form, folders, anything, text in _FIELD.findall(pattern):
        if name:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{form or '[^/]+?'})")
            seen.add(name)
        else:
            parts.append("(?:[^/]+/)*" if folders else "[^/]*" if anything else re.escape(text))
    return re.compile("(?:.*/)?" + "".join(parts), re.IGNORECASE)


def _first_part(path: str) -> str:
    """A file's name up to its first dot, in lower case."""
    return PurePosixPath(path).name.split(".")[0].lower()


def _common(path: str, other: str) -> int:
    both = zip(PurePosixPath(path).parts, PurePosixPath(other).parts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))


def _in_numbers(name: str, numbers: tuple[int, int] | None) -> bool:
    if numbers is None:
        return True
    ending = re.search(r"(\d+)$", stem_of(Path(name)))
    return ending is not None and numbers[0] <= int(ending.group(1)) <= numbers[1]


def sides_in(found: Sequence[Found]) -> dict[str, str | None]:
    """The published side of each case."""
    return {case.name: case.side for case in found}
