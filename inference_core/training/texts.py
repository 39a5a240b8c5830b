"""Texts that name targets: by templates with synonyms from the names of classes, or from a file of the user's own.

A file is JSON, a text to the classes that together are its target: {"both kidneys": ["left kidney", "right kidney"]}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OptionError, PromptError
from inference_core.prompts.text import TextPrompt
from inference_core.training.data.listing import read_json

TEMPLATES = ("{}", "the {}", "segment the {}", "a scan of the {}")
_SYNONYMS = {
    "kidney": ("ren",),
    "gallbladder": ("gall bladder",),
    "esophagus": ("oesophagus", "gullet"),
    "inferior vena cava": ("IVC", "postcava"),
    "portal and splenic veins": ("portal vein and splenic vein",),
    "adrenal gland": ("suprarenal gland",),
    "bladder": ("urinary bladder",),
    "tumor": ("tumour", "lesion", "neoplasm", "mass"),
    "colon cancer": ("colon tumor", "colorectal cancer"),
    "edema": ("oedema", "swelling"),
    "lesion": ("abnormality",),
    "nodule": ("lump",),
}
_SIDES = ("left ", "right ")


@dataclass(frozen=True)
class Texts:
    """Texts, and of each the label values whose union is its target."""

    texts: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    def drawn(self, labels: NDArray[np.integer], rng: np.random.Generator, *, absent: float = 0.0) -> int | None:
        """The number of a text of which something is in a label map; of any text by the chance `absent`.

        None where no text has anything there and an absent one was not drawn.
        """
        if rng.random() < absent:
            return int(rng.integers(len(self.texts)))
        there = set(np.unique(labels).tolist())
        fitting = [n for n, values in enumerate(self.values) if there.intersection(values)]
        return int(rng.choice(fitting)) if fitting else None

    def target(self, number: int, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Where the target of a text is in a label map."""
        return np.isin(labels, self.values[number])


def texts_by_templates(classes: Mapping[int, str]) -> Texts:
    """Every class by its name and synonyms in every template, and both sides of a pair together ("both kidneys").

    Raises:
        OptionError: there is no class.
    """
    named: dict[str, tuple[int, ...]] = {}
    for value, name in classes.items():
        for word in (name, *_synonyms(name)):
            named |= {template.format(word): (value,) for template in TEMPLATES}
    pairs: dict[str, list[int]] = {}
    for value, name in classes.items():
        if name.lower().startswith(_SIDES):
            pairs.setdefault(name.partition(" ")[2], []).append(value)
    for single, values in pairs.items():
        if len(values) > 1:
            named |= {f"{word} {_plural(single)}": tuple(values) for word in ("both", "the", "left and right")}
    return _made(named)


def read_texts(path: Path, classes: Mapping[int, str]) -> Texts:
    """A file of texts and the classes that each one names.

    Raises:
        OptionError: it is no such table, names a class that the data has not, or holds no usable text.
        VolumeError: it is no JSON file.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise OptionError(f"'{path.name}' is no table of texts, each with a list of classes; correct it.")
    values = {name: value for value, name in classes.items()}
    named: dict[str, tuple[int, ...]] = {}
    for text, names in content.items():
        wanted = [names] if isinstance(names, str) else names
        if not isinstance(wanted, list) or not wanted or not all(isinstance(name, str) for name in wanted):
            raise OptionError(f"'{path.name}' gives no list of classes for '{text}'; correct it.")
        unknown = next((name for name in wanted if name not in values), None)
        if unknown is not None:
            raise OptionError(
                f"'{path.name}' names the class '{unknown}', which the data has not; it has {', '.join(values)}."
            )
        try:
            named[TextPrompt(text).text] = tuple(values[name] for name in wanted)
        except PromptError as error:
            raise OptionError(f"'{path.name}' holds a text that cannot be used: {error}") from error
    return _made(named)


def texts_of(path: Path | None, classes: Mapping[int, str], wanted: Sequence[int]) -> Texts:
    """The texts of a file, else those by templates, of the classes wanted (all where empty)."""
    known = {value: name for value, name in classes.items() if not wanted or value in wanted}
    return texts_by_templates(known) if path is None else read_texts(path, known)


def _made(named: Mapping[str, tuple[int, ...]]) -> Texts:
    if not named:
        raise OptionError("There is no class that a text could name; name the classes in dataset.json.")
    return Texts(tuple(named), tuple(named.values()))


def _synonyms(name: str) -> list[str]:
    """A name with one of its parts exchanged for a word that means the same."""
    plain = name.lower()
    changed = (re.sub(rf"\b{part}\b", word, plain) for part, words in _SYNONYMS.items() for word in words)
    return [made for made in changed if made != plain]


def _plural(name: str) -> str:
    return f"{name}s"
