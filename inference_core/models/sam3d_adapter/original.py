"""Answering exactly as 3DSAM-adapter's own test script does: the whole volume at 1 mm, one crop around the clicks.

The script draws its clicks from the label; here the user's stand in their place, each as the 1 mm voxel that it lies
in. It takes the volume's axes by number, slices first. Its data sets' own files lie so that this means the axis nearest
to superior, then anterior, then right, in whichever direction they run; so it is done here, and no axis is turned
round.

Legend: D H W the volume's axes as the script orders them, d h w voxels of it, _mm voxels at 1 mm.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from inference_core.errors import PromptError
from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32, PromptableModel, WindowImage
from inference_core.models.original import OriginalAnswer, check_clicks_inside, clicks_alone
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import PromptSet

_NO_BOXES = np.zeros((0, 8, 3))
_MOST_ANISOTROPIC = 8
_HALF = 0.5


def predict(volume: Volume, model: PromptableModel, prompts: PromptSet) -> OriginalAnswer:
    """The script's answer to all clicks at once, which must be foreground clicks.

    Raises:
        PromptError: there is a background click or a box, no click at all, or one outside the volume or outside the
            crop around the middle of all clicks.
    """
    started = perf_counter()
    clicks = clicks_alone(prompts, volume)
    if not all(click.positive for click in clicks):
        raise PromptError(
            "The official window of 3DSAM-adapter knows no background clicks; leave them out, or the official window."
        )
    order = slices_first(volume.grid)
    array, zooms = volume.array.transpose(order), zooms_of(volume.grid)[list(order)]
    image = at_one_mm(array, zooms)
    indices = volume.grid.to_ijk([click.ras for click in clicks])[:, order]
    places = np.clip(np.floor((indices + 0.5) * zooms), 0, np.asarray(image.shape) - 1).astype(np.int64)
    begin = (places.max(axis=0) + places.min(axis=0)) // 2 - model.spec.window.shape[0] // 2
    window = _window(image, begin, volume, order=order, zooms=zooms, model=model)
    check_clicks_inside(clicks, window.grid)
    embedding = model.encode(window)
    encoded = perf_counter()
    points = (places - begin)[:, ::-1].astype(np.float64)
    decoded = model.decode(embedding, WindowPrompts(points, np.ones(len(points), dtype=np.int64), _NO_BOXES), None)
    finished = perf_counter()
    probability = torch.sigmoid(torch.from_numpy(decoded.low_res_logits.T)).numpy()
    inside = resized(pasted(probability, begin, image.shape), array.shape) > _HALF
    mask = inside.transpose(np.argsort(order))
    return OriginalAnswer(mask, decoded, window.grid, encoded - started, finished - encoded)


def slices_first(grid: Grid) -> tuple[int, int, int]:
    """The grid's axes that are nearest to superior, to anterior and to right, in this order."""
    r, a, s = grid.ras_axes
    return s, a, r


def zooms_of(grid: Grid) -> Float:
    """The voxel sizes in mm as a file's header has them: in single precision, which decides how many voxels there are.

    0.7 mm in single precision is a little less, and 40 voxels of it become 27 of 1 mm. The digits that an oblique
    matrix adds to a size are taken off again.
    """
    return np.array([np.float32(f"{step:.7g}") for step in grid.spacing], dtype=np.float64)


def at_one_mm(array: NDArray[np.generic], zooms: ArrayLike) -> Float32:
    """A volume (D, H, W) at 1 mm, interpolated without averaging first; NaN counts as 0.

    Strongly anisotropic volumes are resampled within the slices first, then across them.
    """
    voxels = np.nan_to_num(array.astype(np.float32, order="C"), nan=0.0, posinf=None, neginf=None)
    image = torch.from_numpy(voxels)[None, None]
    d, h, w = (float(zoom) for zoom in np.asarray(zooms))
    if max(d, h, w) / min(d, h, w) > _MOST_ANISOTROPIC:
        slices = F.interpolate(image[0].transpose(0, 1), scale_factor=(h, w), mode="bilinear", align_corners=False)
        image, h, w = slices.transpose(0, 1)[None], 1.0, 1.0
    image = F.interpolate(image, scale_factor=(d, h, w), mode="trilinear", align_corners=False)
    return np.asarray(image[0, 0].numpy())


def cropped(image: Float32, begin: ArrayLike, *, size: int, beyond: float) -> Float32:
    """The cube of `size` voxels a side from voxel `begin` (3,) on; `beyond` where it leaves the image."""
    first = np.asarray(begin)
    crop = np.full((size, size, size), beyond, dtype=np.float32)
    inner, outer = _overlap(first, size, image.shape)
    crop[inner] = image[outer]
    return crop


def pasted(crop: Float32, begin: ArrayLike, shape: tuple[int, ...]) -> Float32:
    """A cube of probabilities in its place in a volume of this shape, zero elsewhere."""
    whole = np.zeros(shape, dtype=np.float32)
    inner, outer = _overlap(np.asarray(begin), crop.shape[0], shape)
    whole[outer] = crop[inner]
    return whole


def resized(values: Float32, shape: tuple[int, ...]) -> Float32:
    """Values of a volume on another number of voxels over the same extent."""
    tensor = torch.from_numpy(values)[None, None]
    return np.asarray(F.interpolate(tensor, size=shape, mode="trilinear", align_corners=False)[0, 0].numpy())


def _window(
    image: Float32,
    begin: NDArray[np.int64],
    volume: Volume,
    *,
    order: tuple[int, int, int],
    zooms: Float,
    model: PromptableModel,
) -> WindowImage:
    """The crop as a window (W, H, D), whose grid says where in the patient it lies."""
    scale = model.spec.hounsfield
    assert scale is not None, "the model's own spec names this script"
    size = model.spec.window.shape[0]
    crop = cropped(image, begin, size=size, beyond=scale.mean)
    # A voxel o at 1 mm lies at (o + 1/2) / zoom - 1/2 of the volume's own.
    to_ijk = np.zeros((4, 4))
    to_ijk[3, 3] = 1
    for column, axis in enumerate(order):
        to_ijk[axis, 2 - column] = 1 / zooms[column]
        to_ijk[axis, 3] = (begin[column] + 0.5) / zooms[column] - 0.5
    return WindowImage(crop.T, Grid((size, size, size), volume.grid.affine @ to_ijk))


def _overlap(
    begin: NDArray[np.int64], size: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part of a cube that lies in a volume of this shape, in the cube's voxels and in the volume's."""
    low, high = np.maximum(begin, 0), np.minimum(begin + size, shape)
    inner = tuple(slice(int(a), int(b)) for a, b in zip(low - begin, high - begin, strict=True))
    return inner, tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
