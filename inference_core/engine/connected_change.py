"""A correction changes what it points at: of all that an answer anew would change, the part that a click lies in.

A foreground click only adds, and only what hangs together with it; a background click only removes so. What else the
model would answer differently now, in both directions, is no correction of anybody's: it stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Grid, squared_distances
from inference_core.geometry.pieces import numbered_pieces
from inference_core.geometry.sampling import resample_onto
from inference_core.models.interface import Float32
from inference_core.prompts.prompt_set import Click

# The model answers a click within so many cells of it, or not at all.
_NEAR_CELLS = 3.0


@dataclass(frozen=True, eq=False)
class ConnectedChange:
    """Where a correction may change an answer, and whether it may add or remove there.

    `share` is 1 in the cells (i, j, k) that change and in those beside them, 0 elsewhere.
    """

    cells: Grid
    share: Float32
    adds: bool

    def kept_to(self, new: Float32, old: Float32, cells: Grid) -> Float32:
        """New logits as far as they change the old ones there and in that direction, the old ones elsewhere.

        Both lie on the same cells, of any grid.
        """
        may = (self.share if cells == self.cells else resample_onto(self.share, self.cells, cells, outside=0.0)) > 0
        return np.where(may, np.maximum(new, old) if self.adds else np.minimum(new, old), old)


def connected_change(click: Click, new: Float32, old: Float32, cells: Grid) -> ConnectedChange | None:
    """What of the difference of two answers' logits (i, j, k) on the same cells hangs together with a click.

    None where nothing near the click changes as it says: then the answers do not tell what was meant.
    """
    after, before = (new > 0, old > 0) if click.positive else (new <= 0, old <= 0)
    changed = after & ~before
    if not changed.any():
        return None
    piece = _piece_at(click.ras, changed, cells)
    return None if piece is None else ConnectedChange(cells, _with_those_beside(piece), click.positive)


def _piece_at(ras: tuple[float, float, float], changed: NDArray[np.bool_], cells: Grid) -> NDArray[np.bool_] | None:
    distances = np.where(changed, squared_distances(ras, cells), np.inf)
    nearest = np.unravel_index(distances.argmin(), distances.shape)
    if distances[nearest] > (_NEAR_CELLS * max(cells.spacing)) ** 2:
        return None
    numbers = numbered_pieces(changed)
    return np.asarray(numbers == numbers[nearest])


def _with_those_beside(piece: NDArray[np.bool_]) -> Float32:
    wide = piece
    for axis in range(3):
        padded = np.pad(wide, [(1, 1) if other == axis else (0, 0) for other in range(3)])
        size = wide.shape[axis]
        wide = np.logical_or.reduce([padded.take(range(step, step + size), axis=axis) for step in range(3)])
    return wide.astype(np.float32)
