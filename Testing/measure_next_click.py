"""Whether a suggested next click saves clicks: simulated users who click where they are told, against their own clicks.

    PYTHONPATH=.:Testing python Testing/measure_next_click.py sarcoma --split validation train --minutes 25

The folder is that of the sarcomas (Resources/Docs/sam3d_lite_split.json); its test split cannot be asked for. A user
who clicks by himself aims at the middle of the largest error and misses it by 5 mm, in any direction. One who is told
clicks exactly there. Both know what they click on: the click's sign is what the expert's mask says at that place. All
begin with the same click. Prints the mean number of clicks to a Dice of 0.85, one more than allowed where it is not
reached.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.protocol import correction, first_click
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.pieces import largest_piece
from inference_core.models.registry import DEFAULT_MODEL
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.simulation import deepest_voxel
from inference_core.training.data import read_data_set
from inference_core.training.run_folder import read_splits

SPLIT = Path(__file__).resolve().parents[1] / "Resources" / "Docs" / "sam3d_lite_split.json"
CLICKS, GOAL, MISS_MM, CLEAR_MM, NEAR_MM = 8, 0.85, 5.0, 5.0, 5.0
Bools = NDArray[np.bool_]
Suggest = Callable[[Mask, Grid, PromptSet], tuple[int, int, int] | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", nargs="+", choices=("train", "validation"), default=["validation", "train"])
    parser.add_argument("--minutes", type=float, default=25, help="begin no further image after this time")
    options = parser.parse_args()
    model, end, rows = open_model(DEFAULT_MODEL, device="cpu"), perf_counter() + 60 * options.minutes, []
    data = read_data_set(options.data)
    for name in names(options.split):
        if perf_counter() > end:
            break
        volume, target = data[name].read(), data[name].read_labels().array > 0
        rows.append(
            [clicks_needed(Session(volume, model), target, suggest, seed=len(rows)) for suggest in USERS.values()]
        )
        print(name, *rows[-1], flush=True)
    say(np.array(rows))


def names(splits: list[str]) -> Iterator[str]:
    sarcoma = read_splits(SPLIT)["sarcoma"]
    return (name for split in splits for name in getattr(sarcoma, split))


def say(needed: NDArray[np.int64]) -> None:
    own = needed[:, 0]
    for column, title in enumerate(USERS):
        draws = np.random.default_rng(0).integers(len(own), size=(2000, len(own)))
        ratios = needed[draws, column].sum(axis=1) / own[draws].sum(axis=1)
        low, high = np.percentile(ratios, (2.5, 97.5))
        mean, never = needed[:, column].mean(), (needed[:, column] > CLICKS).mean()
        share = mean / own.mean()
        print(f"{title}: {mean:.2f} clicks, {share:.2f} of their own ({low:.2f} to {high:.2f}), never {never:.0%}")


def clicks_needed(session: Session, target: Bools, suggest: Suggest | None, *, seed: int) -> int:
    """How many clicks it takes; one more than allowed where the goal is not reached."""
    grid, rng = session.volume.grid, np.random.default_rng(seed)
    prompts = PromptSet((first_click(target, grid),))
    for count in range(1, CLICKS + 1):
        answer = session.predict(prompts).mask.on(grid.shape).view(bool)
        if dice(answer, target) >= GOAL:
            return count
        place = None if suggest is None else suggest(session.unsure_band(prompts), grid, prompts)
        voxel = own_place(target, answer, grid, rng) if place is None else place
        prompts = prompts.with_(Click(tuple(map(float, grid.to_ras(voxel))), bool(target[voxel])))
    return CLICKS + 1


def own_place(target: Bools, answer: Bools, grid: Grid, rng: np.random.Generator) -> tuple[int, int, int]:
    """The middle of the largest error, missed by 5 mm."""
    aimed = correction(target, answer, grid)
    assert aimed is not None, "a perfect answer has reached the goal"
    direction = rng.normal(size=3)
    missed = np.asarray(aimed.ras) + MISS_MM * direction / np.linalg.norm(direction)
    return tuple(int(n) for n in np.clip(grid.nearest_voxels(missed[None])[0], 0, np.array(grid.shape) - 1))


def thickest(band: Mask, grid: Grid, prompts: PromptSet) -> tuple[int, int, int] | None:
    """Where the band is thickest, 5 mm or more from any click."""
    free = away_from_clicks(band, grid, prompts)
    return None if not free.any() else placed(deepest_voxel(free, grid.spacing), band)


def densest(band: Mask, grid: Grid, prompts: PromptSet) -> tuple[int, int, int] | None:
    """In the largest piece of the band, where most of it is near, 5 mm or more from any click."""
    free = away_from_clicks(band, grid, prompts)
    if not free.any():
        return None
    largest = largest_piece(free)
    near = ndimage.gaussian_filter(largest.astype(np.float32), NEAR_MM / np.asarray(grid.spacing), mode="constant")
    return placed(np.unravel_index(int(np.where(largest, near, -1).argmax()), near.shape), band)


def away_from_clicks(band: Mask, grid: Grid, prompts: PromptSet) -> Bools:
    places = np.argwhere(band.array)
    ras = grid.to_ras(places + np.asarray(band.start))
    far = np.ones(len(places), bool)
    for click in prompts.clicks:
        far &= np.linalg.norm(ras - np.asarray(click.ras), axis=1) >= CLEAR_MM
    free = np.zeros(band.array.shape, bool)
    free[tuple(places[far].T)] = True
    return free


def placed(voxel: tuple[int, ...], band: Mask) -> tuple[int, int, int]:
    i, j, k = (int(n) + int(start) for n, start in zip(voxel, band.start, strict=True))
    return i, j, k


USERS: dict[str, Suggest | None] = {
    "their own, missed by 5 mm": None,
    "told, where the band is thickest": thickest,
    "told, where the band is densest": densest,
}

if __name__ == "__main__":
    main()
