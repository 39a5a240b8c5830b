"""A builder that a spec can name: it builds nothing, and remembers what it was asked for."""

from dataclasses import dataclass
from pathlib import Path

from inference_core.models.spec import ModelSpec


@dataclass(frozen=True)
class Built:
    """What was asked for, in place of a model."""

    spec: ModelSpec
    weights: Path
    device: str
    precision: str
    base: Path | None


def build(spec: ModelSpec, weights: Path, device: str, *, base: Path | None = None, precision: str = "auto") -> Built:
    """Remember, and build nothing."""
    return Built(spec, weights, device, precision, base)
