"""A later visit: each lesion's prompts carried there and answered anew; what the answers should be doubted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inference_core.engine.session import Session
from inference_core.errors import PromptError, VolumeError
from inference_core.followup.carrying import carried
from inference_core.followup.warping import Warp
from inference_core.geometry.grid import Float
from inference_core.geometry.mask import EMPTY, Mask, VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.io.itk import simpleitk
from inference_core.prompts.prompt_set import PromptSet

_SHELL_MM = 5.0
# Of how much a lesion stood out from what is around it before.
_FADED = 0.25
_MANY_TIMES = 8.0


@dataclass(frozen=True, eq=False)
class Earlier:
    """A lesion at the earlier visit: its name, the prompts that stand for it, and its mask on that image."""

    name: str
    prompts: PromptSet
    mask: Mask


@dataclass(frozen=True, eq=False)
class Later:
    """The same lesion at the later visit: the prompts carried there, and what was found.

    `measured` is False where the image does not reach it. `doubt` says what a reader should look at first: nothing is
    declared vanished without one.
    """

    name: str
    prompts: PromptSet
    mask: Mask
    measured: bool = True
    doubt: str = ""


def follow(
    lesions: Sequence[Earlier],
    *,
    before: Volume,
    session: Session,
    way: Float | Warp,
    tell: Callable[[str], None] = lambda name: None,
) -> list[Later]:
    """Answer each lesion's prompts anew on the session's image; `way` takes RAS mm before to there, as in `carried`.

    tell(name) is called before each lesion.

    Raises:
        SAM3DError: the session's model takes none of the prompts.
    """
    found = []
    for lesion in lesions:
        tell(lesion.name)
        try:
            prompts = carried(lesion.prompts, way)
        except VolumeError as error:
            doubt = f"'{lesion.name}' is not measured: {error}"
            found.append(Later(lesion.name, lesion.prompts, EMPTY, measured=False, doubt=doubt))
            continue
        try:
            prompts.checked_on(session.volume.grid, session.volume.name)
        except PromptError:
            doubt = f"'{lesion.name}' lies outside the later image: not measured."
            found.append(Later(lesion.name, prompts, EMPTY, measured=False, doubt=doubt))
            continue
        mask = session.predict(prompts).mask
        found.append(Later(lesion.name, prompts, mask, doubt=doubt_about(lesion, before, mask, session.volume)))
    return found


def doubt_about(lesion: Earlier, before: Volume, mask: Mask, after: Volume) -> str:
    """Why a reader should look at a carried lesion's new mask first; empty where nothing speaks against it."""
    if not mask.array.size:
        return f"'{lesion.name}' was not found at the later visit; look whether it vanished."
    if not lesion.mask.array.size:
        return f"'{lesion.name}' was not found before; look whether this is the same lesion."
    earlier, later = contrast(lesion.mask, before), contrast(mask, after)
    if earlier is not None and later is not None and later / earlier < _FADED:
        return (
            f"'{lesion.name}' stands out from its surroundings {max(0.0, later / earlier):.0%} as much as before; look "
            "whether it vanished, and delete it then."
        )
    sizes = (m.voxel_count * v.grid.voxel_volume_mm3 for m, v in ((mask, after), (lesion.mask, before)))
    ratio = next(sizes) / max(next(sizes), 1e-9)
    if not 1 / _MANY_TIMES <= ratio <= _MANY_TIMES:
        return f"'{lesion.name}' has {ratio:.2g} times its volume before; look whether the mask is right."
    return ""


def contrast(mask: Mask, volume: Volume) -> float | None:
    """How far a mask's median is from that of the 5 mm around it, in standard deviations there; None where that is 0.

    Signed: what was brighter than its surroundings and is darker now has not stayed the same.
    """
    margin = np.ceil(_SHELL_MM / np.asarray(volume.grid.spacing)).astype(int) + 1
    start = np.maximum(np.asarray(mask.start) - margin, 0)
    stop = np.minimum(np.asarray(mask.stop) + margin, volume.grid.shape)
    inside = mask.crop(start, stop)
    sitk = simpleitk()
    image = sitk.GetImageFromArray(np.ascontiguousarray(inside.T).astype(np.uint8))
    image.SetSpacing(volume.grid.spacing)
    far = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    depth = sitk.GetArrayFromImage(far).T
    values = volume.array[VoxelBox(start, stop).slices()].astype(np.float64)
    around = values[(depth > 0) & (depth <= _SHELL_MM) & np.isfinite(values)]
    within = values[inside & np.isfinite(values)]
    if not around.size or not within.size or around.std() == 0:
        return None
    return float((np.median(within) - np.median(around)) / around.std())
