"""Pictures and videos as volumes, and labels as their publishers draw them: gray values, colors, outlines in XML.

A picture's columns run along i and its rows along j, a video's frames along k; voxels are 1 mm apart, for a picture
says nothing of millimeters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.contours import filled
from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.io.itk import quiet_itk, simpleitk
from inference_core.io.opening import check_readable

_LARGEST_XML = 1 << 24


def picture_grid(shape: Sequence[int]) -> Grid:
    """The grid of a stack of pictures, (columns, rows, pictures)."""
    i, j, k = shape
    return Grid((i, j, k), LPS_FROM_RAS)


def read_picture(path: Path) -> NDArray[Any]:
    """The pixels of a PNG, JPEG or BMP file, (columns, rows, colors); a fourth color, opacity, is left out.

    Raises:
        VolumeError: it cannot be read.
    """
    check_readable(path)
    sitk = simpleitk()
    try:
        with quiet_itk():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise VolumeError(f"'{path.name}' cannot be read as a picture; copy it again.") from error
    pixels = np.atleast_3d(sitk.GetArrayFromImage(image))
    if pixels.ndim != 3:
        raise VolumeError(f"'{path.name}' is no single picture; copy it again.")
    return pixels.transpose(1, 0, 2)[:, :, :3]


def read_stack(paths: Sequence[Path], *, colors: int) -> NDArray[Any]:
    """Pictures of one size, (columns, rows, pictures, colors); a gray picture has its gray as each color.

    Raises:
        VolumeError: one cannot be read, or differs in size.
    """
    pictures = [read_picture(path) for path in paths]
    first = pictures[0].shape[:2]
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape[:2] != first:
            raise VolumeError(f"'{path.name}' differs in size from '{paths[0].name}'; leave the sequence out.")
    return np.stack([_with_colors(picture, colors) for picture in pictures], axis=2)


def nearest_classes(gray: NDArray[Any], values: Mapping[int, int]) -> NDArray[np.uint8]:
    """The class of the gray value that is nearest to each pixel's."""
    known = np.array(sorted(values))
    table = np.array([values[int(known[np.abs(known - gray_value).argmin()])] for gray_value in range(256)])
    return table[np.clip(gray, 0, 255).astype(np.uint8)].astype(np.uint8)


def color_classes(pixels: NDArray[Any], colors: Mapping[tuple[int, int, int], int]) -> NDArray[np.uint8]:
    """The class of each pixel's color (..., 3); 0 where it is none of those."""
    codes = (pixels.astype(np.int64) * (1 << 16, 1 << 8, 1)).sum(-1)
    found = np.zeros(codes.shape, dtype=np.uint8)
    for (red, green, blue), value in colors.items():
        found[codes == (red << 16 | green << 8 | blue)] = value
    return found


def outlined(path: Path, number: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """DDTI's outlines of one picture of a patient's XML file, filled, (columns, rows).

    <mark><image>1</image><svg>[{"points": [{"x": 1, "y": 2}, ...], ...}]</svg></mark>, in pixels.

    Raises:
        VolumeError: the file cannot be read.
    """
    check_readable(path)
    text = path.read_bytes()
    if len(text) > _LARGEST_XML or b"<!ENTITY" in text:
        raise VolumeError(f"'{path.name}' is no plain XML file of outlines; copy it again.")
    mask = np.zeros(shape, dtype=np.uint8)
    try:
        for mark in ElementTree.fromstring(text).iter("mark"):
            drawn = (mark.findtext("svg") or "").strip()
            if int(mark.findtext("image") or "1") != number or not drawn:
                continue
            for outline in json.loads(drawn):
                points = np.array([(point["x"], point["y"]) for point in outline["points"]], dtype=float)
                if len(points) > 2:
                    mask |= filled([points], shape).astype(np.uint8)
    except (ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
        raise VolumeError(f"'{path.name}' holds outlines that cannot be read; copy it again.") from error
    return mask


def _with_colors(picture: NDArray[Any], colors: int) -> NDArray[Any]:
    if picture.shape[2] == colors:
        return picture
    if picture.shape[2] == 1:
        return np.repeat(picture, colors, axis=2)
    return picture[:, :, :1] if colors == 1 else np.repeat(picture[:, :, :1], colors, axis=2)
