r"""How targets that are easily passed over are answered: of 1 to 7 voxels in real images, and inside a thin limb.

    PYTHONPATH=.:Testing python Testing/measure_small_targets.py \
        --images 'held_out/*/*_image.nii.gz' --each 2 --limbs 20
    PYTHONPATH=.:Testing python Testing/measure_small_targets.py --images flair.nii.gz --labels lesions.nii.gz

Without labels, lesions of 1 to 7 voxels are made in the images' own tissue, on their own voxels, brighter or darker
than what is around them by 1.5 to 4 of its standard deviations; with labels, all their face-connected pieces of 1 to 7
voxels are targets as they are. Limbs are procedural (`training.tiny`), on an oblique grid of 2 mm. The simulated user
clicks as in `evaluate`: first in the deepest voxel, then in that of the largest error. Prints every case, at last
the worst first: Dice after each click, and the answer's voxels beside the target's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference_core.engine.open_model import open_model
from inference_core.evaluation.cases import found_by, matched_pairs, read_case
from inference_core.evaluation.protocol import run_case, session_segment
from inference_core.geometry.grid import isotropic_grid
from inference_core.geometry.volume import Volume
from inference_core.io.files import read_volume
from inference_core.models.interface import PromptableModel
from inference_core.models.registry import DEFAULT_MODEL
from inference_core.training.tiny import lesion_in_limb, tiny_lesion_into

FEWEST, MOST, CLICKS, WINDOW, LIMB_MM = 1, 7, 3, 32, 2.0
# Of an image's voxels, the brighter ones are taken for tissue.
TISSUE_PERCENTILE = 60
Bools = NDArray[np.bool_]
Row = tuple[str, str, list[float], int, int]
"""Of a target: its kind and name, Dice after each click, the last answer's voxels, and its own."""


@dataclass(frozen=True, eq=False)
class Target:
    """A kind to count it under, a name, an image, and the target's voxels (i, j, k)."""

    kind: str
    name: str
    volume: Volume
    mask: Bools


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="a glob pattern")
    parser.add_argument("--labels", help="a glob pattern of as many label maps")
    parser.add_argument("--each", type=int, default=3, help="lesions made in each image (default 3)")
    parser.add_argument("--most", type=int, default=20, help="labeled pieces of each image (default 20)")
    parser.add_argument("--limbs", type=int, default=0, help="procedural limbs (default none)")
    options = parser.parse_args()
    model = open_model(DEFAULT_MODEL, device="cpu")
    rows = []
    for target in targets(options):
        rows.append(answered(model, target))
        print(line(rows[-1]), flush=True)
    for kind in dict.fromkeys(row[0] for row in rows):
        say(kind, [row for row in rows if row[0] == kind])


def targets(options: argparse.Namespace) -> Iterator[Target]:
    if options.labels:
        for image, labels in matched_pairs(options.images, options.labels):
            yield from pieces(*read_case(image, labels), most=options.most)
    elif options.images:
        for number, image in enumerate(found_by(options.images)):
            volume = read_volume(image)
            yield from (made_in(volume, name=short(image), seed=1000 * number + n) for n in range(options.each))
    yield from (in_a_limb(seed) for seed in range(options.limbs))


def made_in(volume: Volume, *, name: str, seed: int) -> Target:
    """A lesion of 1 to 7 voxels in a window of the image's own voxels, where there is tissue."""
    rng = np.random.default_rng(seed)
    values = volume.array.astype(np.float32)
    side = min(WINDOW, *values.shape)
    tissue = values >= np.percentile(values[::2, ::2, ::2], TISSUE_PERCENTILE)
    while True:
        low = [int(rng.integers(n - side + 1)) for n in values.shape]
        window = tuple(slice(n, n + side) for n in low)
        sample = tiny_lesion_into(rng, values[window])
        if FEWEST <= sample.target.sum() <= MOST and tissue[window][sample.target].all():
            break
    image, mask = values.copy(), np.zeros(values.shape, dtype=np.bool_)
    image[window], mask[window] = sample.image, sample.target
    return Target("made of 1 to 7 voxels", f"{name} {seed}", replace(volume, array=image), mask)


def pieces(volume: Volume, labeled: Bools, *, most: int) -> Iterator[Target]:
    """The labeled pieces of 1 to 7 voxels, spread over the image if there are more than `most`."""
    found, count = ndimage.label(labeled)
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    small = [n for n in range(1, count + 1) if FEWEST <= sizes[n] <= MOST]
    for n in small[:: max(1, len(small) // most)][:most]:
        yield Target("labeled, of 1 to 7 voxels", f"{volume.name} piece {n}", volume, found == n)


def in_a_limb(seed: int) -> Target:
    sample = lesion_in_limb(np.random.default_rng(seed), 64)
    axes = np.linalg.qr(np.array([[1.0, 0.3, -0.1], [-0.2, 1.0, 0.4], [0.1, -0.3, -1.0]]))[0]
    grid = isotropic_grid(np.array([40.0, -90.0, 300.0]), shape=sample.image.shape, spacing=LIMB_MM, axes=axes)
    return Target("in a thin limb", f"limb {seed}", Volume(sample.image, grid, "limb"), sample.target)


def answered(model: PromptableModel, target: Target) -> Row:
    volume = target.volume
    result = run_case(session_segment(volume, model), target.mask, volume.grid, clicks=CLICKS)
    dices = [score.dice for score in result.scores]
    voxels, wanted = result.answer.unpack().voxel_count, int(target.mask.sum())
    return target.kind, target.name, dices, voxels, wanted


def line(row: Row) -> str:
    _, name, dices, voxels, wanted = row
    return f"  {name}: Dice {' '.join(f'{value:.2f}' for value in dices)}, {voxels} voxels for {wanted}"


def say(kind: str, rows: list[Row]) -> None:
    print(f"{kind}: {len(rows)} targets, the worst first")
    print("\n".join(line(row) for row in sorted(rows, key=lambda row: row[2][-1])))
    curves = np.array([row[2] for row in rows])
    shares = np.array([row[3] / row[4] for row in rows])
    low, middle, high = np.percentile(shares, [10, 50, 90])
    print(f"  mean Dice after each click {' '.join(f'{value:.2f}' for value in curves.mean(axis=0))}")
    print(f"  of the first click: none of it in {(curves[:, 0] == 0).sum()}, below 0.5 in {(curves[:, 0] < 0.5).sum()}")
    print(f"  voxels after the last over the target's: {middle:.1f} (10 to 90 %: {low:.1f} to {high:.1f})")


def short(path: Path) -> str:
    return f"{path.parent.name}/{path.name.partition('.')[0]}"


if __name__ == "__main__":
    main()
