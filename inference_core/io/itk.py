"""The one border between SimpleITK images (LPS millimeters, arrays in z, y, x) and this package (RAS, i, j, k)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.geometry.volume import Volume

_stderr_lock = RLock()


def simpleitk() -> Any:
    """The SimpleITK module, loaded at the first call since it is large, with its warnings off."""
    import SimpleITK

    untyped: Any = SimpleITK
    untyped.ProcessObject.SetGlobalWarningDisplay(False)
    return untyped


def volume_from_sitk(image: Any, *, name: str = "volume") -> Volume:
    """A volume over the voxels of a 3D SimpleITK image, without a copy; the array is read-only.

    Raises:
        VolumeError: the image is not a scalar 3D image on a grid with independent axes at right angles.
    """
    array = np.asarray(_PixelOwner(image)).T
    return Volume(array, grid_from_sitk(image), name)


def sitk_from_array(array: NDArray[Any], grid: Grid) -> Any:
    """A SimpleITK image of an array (i, j, k) on a grid; left-handed grids keep their direction."""
    image = simpleitk().GetImageFromArray(np.ascontiguousarray(array.T))
    lps = LPS_FROM_RAS @ grid.affine
    image.SetSpacing(grid.spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / np.asarray(grid.spacing)).ravel().tolist())
    return image


def grid_from_sitk(image: Any) -> Grid:
    """The grid of a 3D SimpleITK image, or of a SimpleITK reader that has read its header."""
    spacing = np.asarray(image.GetSpacing())
    lps = np.eye(4)
    # ITK gives an axis of no length a direction that is not a number; it is the length that is wrong.
    lps[:3, :3] = np.where(spacing == 0, 0, np.reshape(image.GetDirection(), (3, 3)) * spacing)
    lps[:3, 3] = image.GetOrigin()
    i, j, k = image.GetSize()
    return Grid((i, j, k), LPS_FROM_RAS @ lps)


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep what ITK's C++ libraries print (on damaged files, for one) off standard error; their exceptions remain.

    The whole process is mute inside, so nothing but the ITK call itself belongs there.
    """
    with _stderr_lock:  # two threads that swap the stream at once would leave it closed for good
        try:
            saved = os.dup(2)
        except OSError:  # a windowed application without a standard error
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


class _PixelOwner:
    """Keeps an image alive as long as any array over its pixels: numpy holds the object it was made from."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self.__array_interface__ = simpleitk().GetArrayViewFromImage(image).__array_interface__
