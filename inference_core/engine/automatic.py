"""Segmenting without prompts: a model of stacks of slices runs over a volume, and each class becomes a label.

A slice's answer is the mean of its class probabilities over the stacks that hold it. The exact mode takes every stack
that there is, centered on each slice in turn, as MA-SAM's authors do; the quick mode takes just enough of them to show
every slice. Both see only the slices that were asked for, and those that share a stack with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from inference_core.engine.device import memory_errors_as_device_error
from inference_core.errors import PromptError
from inference_core.geometry.slices import slices_last
from inference_core.geometry.values import with_background
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32, Model, StackClassifier, automatic

Notify = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Labeled:
    """What was found: labels (uint8, 1 the first class) on the volume's grid, 0 in slices that were not asked for.

    classes: the name of each label in turn. slices: first and last (inclusive) that were asked for. stacks: how many
    the model looked at. seconds: of all of it.
    """

    labels: Volume
    classes: tuple[str, ...]
    slices: tuple[int, int]
    stacks: int
    seconds: float

    def voxels_of(self) -> dict[str, int]:
        """The number of voxels of each class."""
        counts = np.bincount(self.labels.array.ravel(order="K"), minlength=len(self.classes) + 1)
        return {name: int(count) for name, count in zip(self.classes, counts[1:], strict=True)}


def segment_automatically(
    volume: Volume,
    model: Model,
    *,
    quick: bool = False,
    slices: tuple[int, int] | None = None,
    notify: Notify = lambda stage, fraction: None,
) -> Labeled:
    """Find all classes of a model in a volume, or in its slices first..last (inclusive, along `slice_axis`).

    `notify` is told of the progress before every stack; what it raises stops the work.

    Raises:
        ModelError: the model needs prompts.
        PromptError: there are no such slices.
        VolumeError: the volume's gray values cannot be used.
        DeviceError: the memory ran out.
    """
    started = perf_counter()
    sliced = slices_last(replace(volume, array=with_background(volume.array)))
    first, last = _checked(slices, sliced)
    count = sliced.array.shape[2]
    stacks = stacks_over(count, (first, last), size=model.spec.window.shape[2], quick=quick)
    labels = Volume(np.zeros(volume.array.shape, dtype=np.uint8, order="F"), volume.grid, volume.name)
    found = slices_last(labels).array
    with memory_errors_as_device_error(model.device):
        classifier = automatic(model).on(sliced)
        for number, mean in mean_probabilities(classifier, stacks, count=count, wanted=(first, last), notify=notify):
            found[:, :, number] = mean.argmax(axis=0)
    return Labeled(labels, model.spec.classes, (first, last), len(stacks), perf_counter() - started)


def stacks_over(count: int, wanted: tuple[int, int], *, size: int, quick: bool) -> list[range]:
    """The stacks of `size` slices to look at for slices first..last of `count`, in order; they may reach beyond both.

    The exact ones are centered on every slice whose stack holds a wanted one. The quick ones lie end to end from slice
    0 on, the last one moved back into the volume, so that which stack shows a slice does not depend on what is wanted.
    """
    first, last = wanted
    half = size // 2
    if not quick:
        centers = range(max(0, first - half), min(count - 1, last + half) + 1)
        return [range(center - half, center - half + size) for center in centers]
    starts = sorted({max(0, min(start, count - size)) for start in range(0, count, size)})
    return [range(start, start + size) for start in starts if start <= last and start + size > first]


def mean_probabilities(
    classifier: StackClassifier, stacks: list[range], *, count: int, wanted: tuple[int, int], notify: Notify
) -> Iterator[tuple[int, Float32]]:
    """Number and mean class probabilities (K + 1, nx, ny) of each wanted slice, as soon as its last stack was seen.

    Beyond the volume's `count` slices the first and the last are repeated; what is found there is dropped.
    """
    sums: dict[int, Float32] = {}
    votes: dict[int, int] = {}
    for done, stack in enumerate(stacks):
        for number in [number for number in sums if number < stack.start]:
            yield number, sums.pop(number) / np.float32(votes.pop(number))
        notify("classifying", done / len(stacks))
        probabilities = classifier.classify([min(max(number, 0), count - 1) for number in stack])
        for place, number in enumerate(stack):
            if wanted[0] <= number <= wanted[1]:
                sums[number] = sums.get(number, np.float32(0)) + probabilities[..., place]
                votes[number] = votes.get(number, 0) + 1
    for number, total in sums.items():
        yield number, total / np.float32(votes[number])


def _checked(slices: tuple[int, int] | None, sliced: Volume) -> tuple[int, int]:
    count = sliced.array.shape[2]
    first, last = slices if slices is not None else (0, count - 1)
    if not 0 <= first <= last < count:
        raise PromptError(
            "'{name}' has slices 0 to {number}; give a first and a last one of these instead of {first} to {last}.",
            name=sliced.name,
            number=count - 1,
            first=first,
            last=last,
        )
    return first, last
