"""3DSAM-adapter's augmentation of a CT (specification 8), in its authors' order and by the library that they used.

Legend: D H W a volume at 1 mm, slices first; P the crop's side.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.models.spec import HounsfieldScale

_SHIFT_HU, _SHIFT_CHANCE = 20, 0.5
_PADDED = 1.2
_KEYS = ("image", "label")


class CropAugmentation:
    """Crops of a volume with its target, changed at random.

    `in_plane` is for thick slices: they are turned and zoomed within themselves alone.
    """

    def __init__(self, scale: HounsfieldScale, *, size: int, in_plane: bool) -> None:
        self.scale, self.size, self.in_plane = scale, size, in_plane
        self._transform: Any = None

    def __call__(
        self, image: NDArray[Any], label: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """A crop (P, P, P), normalized, and its target of 0 and 1.

        `image` (D, H, W) is in Hounsfield units and reaches above the scale's lower end; `label` (D, H, W) is the
        target's share of each voxel.
        """
        if self._transform is None:
            self._transform = self._composed()
        self._transform.set_random_state(seed=int(rng.integers(2**31)))
        clipped = np.clip(image, self.scale.low, self.scale.high)
        made = self._transform({"image": clipped[None], "label": np.asarray(label, dtype=np.float32)[None]})[0]
        return np.asarray(made["image"][0], dtype=np.float32), np.asarray(made["label"][0] > 0.5, dtype=np.int64)

    def _composed(self) -> Any:
        t = _transforms()
        padded = round(_PADDED * self.size)
        return t.Compose([
            t.RandShiftIntensityd("image", offsets=_SHIFT_HU, prob=_SHIFT_CHANCE),
            t.CropForegroundd(_KEYS, source_key="image", select_fn=self._tissue, allow_smaller=True),
            t.NormalizeIntensityd("image", subtrahend=self.scale.mean, divisor=self.scale.deviation),
            *(self._within_slices() if self.in_plane else self._zooms()),
            t.AsDiscreted("label", threshold=0.5),
            t.SpatialPadd(_KEYS, padded),
            # The middle of the crop lies twice as often in the target as beside it.
            t.RandCropByPosNegLabeld(_KEYS, "label", padded, pos=2, neg=1, num_samples=1),
            t.RandSpatialCropd(_KEYS, self.size, random_size=False),
            *(t.RandFlipd(_KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)),
            t.RandRotate90d(_KEYS, prob=0.5, max_k=3, spatial_axes=(0, 1)),
        ])  # fmt: skip

    def _tissue(self, image: Any) -> Any:
        """What is left of the clipping; all of it where values were shifted up, as in the authors' order."""
        return image > self.scale.low

    def _within_slices(self) -> list[Any]:
        t, turn = _transforms(), np.deg2rad(30)
        return [
            t.RandRotated(_KEYS, range_x=turn, prob=0.3, keep_size=False, mode="bilinear", padding_mode="border"),
            _zoom((1.0, 0.9, 0.9), (1.0, 1.1, 1.1), chance=0.3),
        ]

    def _zooms(self) -> list[Any]:
        return [_zoom(0.85, 1.25, chance=0.8)]


def _zoom(least: float | tuple[float, ...], most: float | tuple[float, ...], *, chance: float) -> Any:
    return _transforms().RandZoomd(
        _KEYS, prob=chance, min_zoom=least, max_zoom=most, mode="trilinear", padding_mode="edge"
    )


def _transforms() -> Any:
    """MONAI's, imported late: that takes seconds."""
    return import_module("monai.transforms")
