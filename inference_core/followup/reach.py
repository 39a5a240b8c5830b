"""Where transforms that bend are defined: ITK leaves points beside a displacement field or B-splines where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Float
from inference_core.io.itk import simpleitk

# Of an index: the border itself belongs to a transform, however its numbers were rounded.
_EDGE = 1e-6


def check_reached(transform: Any, points: Float, name: str) -> None:
    """Refuse points (n, 3), RAS mm, that SimpleITK's transform called `name` is not defined at.

    Raises:
        VolumeError: one lies beside it.
    """
    places = points @ LPS_FROM_RAS[:3, :3]
    for step in _steps_of(transform):
        domain = _domain_of(step)
        if domain is not None and not domain.contains(places).all():
            raise VolumeError(
                "The transform '{name}' does not reach the place; give one that covers the lesions.", name=name
            )
        places = np.array([step.TransformPoint(tuple(place)) for place in places]).reshape(-1, 3)


def _steps_of(transform: Any) -> list[Any]:
    """What a transform is composed of, in the order in which points go through it."""
    own = transform.Downcast()
    if own.GetTransformEnum() != simpleitk().sitkComposite:
        return [own]
    parts = [own.GetNthTransform(n) for n in reversed(range(own.GetNumberOfTransforms()))]
    return [step for part in parts for step in _steps_of(part)]


@dataclass(frozen=True, eq=False)
class _Domain:
    """A block of LPS mm: indices from low to high along axes (3, 3), in columns, from an origin."""

    origin: Float
    axes: Float
    low: Float
    high: Float

    def contains(self, places: Float) -> Any:
        """Whether each place (n, 3), LPS mm, lies in it."""
        index = np.linalg.solve(self.axes, (places - self.origin).T).T
        return ((index >= self.low - _EDGE) & (index <= self.high + _EDGE)).all(axis=1)


def _domain_of(step: Any) -> _Domain | None:
    """Of a displacement field, whose outermost voxels count whole, or B-splines; None of what is defined everywhere."""
    sitk = simpleitk()
    if step.GetTransformEnum() == sitk.sitkDisplacementField:
        fixed = np.array(step.GetFixedParameters()).reshape(6, 3)  # size, origin, spacing, rows of the direction
        return _Domain(fixed[1], fixed[3:] * fixed[2], np.full(3, -0.5), fixed[0] - 0.5)
    if step.GetTransformEnum() == sitk.sitkBSplineTransform:
        rows = np.array(step.GetTransformDomainDirection()).reshape(3, 3)
        extent = np.array(step.GetTransformDomainPhysicalDimensions())
        return _Domain(np.array(step.GetTransformDomainOrigin()), rows * extent, np.zeros(3), np.ones(3))
    return None
