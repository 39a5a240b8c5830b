"""A text for the developers about what went wrong: versions and shapes, and nothing that could name a patient."""

import re
from typing import Any

from SAM3DSegmentLib.Setup.Dependencies import environmentLines


def report(logic: Any) -> str:
    """What a developer asks for first. Names of nodes, files, series and people are left out."""
    import inference_core

    lines = [
        f"SAM3DSegment {inference_core.__version__}",
        *environmentLines(),
        f"device: {logic.controller.engine.description or logic.options.settings.device}",
        f"settings: {logic.options.settings}, {logic.options.ofSegment}",
        f"volume: {_shapeOf(logic.volumeNode)}",
        f"prompts: {', '.join(item.kind for item in logic.prompts.items()) or 'none'}",
        f"last error: {_withoutNames(logic.lastError) or 'none'}",
    ]
    return "\n".join(lines)


def _shapeOf(node: Any) -> str:
    if node is None:
        return "none"
    image = node.GetImageData()
    if image is None:
        return "no voxels"
    spacing = " x ".join(f"{step:.3g}" for step in node.GetSpacing())
    shape = " x ".join(map(str, image.GetDimensions()))
    return f"{shape} voxels of {spacing} mm, {image.GetScalarTypeAsString()}"


def _withoutNames(text: str) -> str:
    """A message without what stands in quotes (names of nodes and files) and without paths."""
    return re.sub(r"\S*[/\\]\S+", "(path)", re.sub(r"'[^']*'", "(name)", text))
