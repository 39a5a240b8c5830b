"""Adapting the default model to the masks that a user has accepted: a few minutes, and a gate before it is offered.

Norm layers and the first stage are tuned on the accepted cases; procedural samples are replayed against forgetting. New
weights are offered only where cases that were kept back take no more clicks' worth of error than before, and a set that
ships with the program (the phantom's tumors) is answered as well as before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import VolumeError
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.phantom import make_phantom
from inference_core.evaluation.protocol import correction, first_click
from inference_core.geometry.volume import Volume
from inference_core.models.interface import promptable
from inference_core.models.registry import DEFAULT_MODEL
from inference_core.prompts.prompt_set import PromptSet
from inference_core.training.accepted import FEWEST_CASES, USUAL_MINUTES, accepted_cases
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.data.cases import DataSet, Split
from inference_core.training.data.layouts import read_data_set
from inference_core.training.progress import Reporter
from inference_core.training.run import train
from inference_core.training.run_folder import RunFolder
from inference_core.training.samples import cache_folder

_CLICKS = 3
_KEPT_EVERY = 4
_SHIPPED = 3
# What the shipped set may lose to chance.
_TOLERANCE = 0.01
_REPLAY = LiteMixture(
    regions=0.1, inserted=0.05, tiny=0.05, limb=0.05, synthetic=0.15, sizes=(48,), batches=(4,), stage_shares=(1.0,)
)


@dataclass(frozen=True)
class Verdict:
    """Mean Dice over one to three clicks, before and after, on the accepted cases kept back and on the shipped set."""

    kept_before: float
    kept_after: float
    shipped_before: float
    shipped_after: float

    @property
    def better(self) -> bool:
        """Whether the new weights may be offered."""
        return self.kept_after > self.kept_before and self.shipped_after >= self.shipped_before - _TOLERANCE

    def sentence(self) -> str:
        """What a user is told."""
        kept = f"{self.kept_before:.2f} to {self.kept_after:.2f} on the accepted cases kept back"
        shipped = f"{self.shipped_before:.2f} to {self.shipped_after:.2f} on the shipped ones"
        what = "The adapted model is better" if self.better else "The adapted model is not better and is not offered"
        return f"{what}: Dice {kept}, {shipped}."


def adapt(
    cases: Path, output: Path, *, start_from: Path, minutes: float = USUAL_MINUTES, seed: int = 0, steps: int = 0,
    reporter: Reporter | None = None,
) -> Verdict:  # fmt: skip
    """Adapt the default model to a folder of accepted cases; the run's folder stands for the new weights where better.

    Every fourth case, one at least, is kept back. The verdict is in the run's `verdict.json` too.

    Raises:
        VolumeError: there are fewer than three cases.
        OutputError: the folder is there already.
        KeyboardInterrupt: it was stopped.
    """
    found = [case.name for case in accepted_cases(cases)]
    if len(found) < FEWEST_CASES:
        raise VolumeError(f"There are {len(found)} accepted cases; accept at least {FEWEST_CASES} of one kind first.")
    kept = found[_KEPT_EVERY - 1 :: _KEPT_EVERY] or found[-1:]
    split = Split(tuple(name for name in found if name not in kept), (), tuple(kept))
    data = read_data_set(cases)
    config = TrainConfig(
        output=output, data=(cases,), start_from=start_from, scope="norms", steps=steps,
        minutes=0 if steps else minutes,
        learning_rate=1e-3, lite=_REPLAY, workers=0, validate_every=10_000, ema=0.98, seed=seed, device="cpu",
    )  # fmt: skip
    try:
        folder = train(config, splits={data.name: split}, reporter=reporter)
    finally:
        # A mask that its user deletes shall not be kept here.
        shutil.rmtree(cache_folder(config), ignore_errors=True)
    return _judge(folder, start_from, data, kept)


def _judge(folder: RunFolder, start_from: Path, data: DataSet, kept: Sequence[str]) -> Verdict:
    own = [(case.read(), case.read_labels().array > 0) for case in (data[name] for name in kept)]
    shipped = list(_shipped())
    kept_dice, shipped_dice = (
        [mean_dice(weights, targets) for weights in (start_from, folder.last)] for targets in (own, shipped)
    )
    verdict = Verdict(*kept_dice, *shipped_dice)
    folder.write("verdict.json", {**asdict(verdict), "better": verdict.better})
    folder.name_weights(DEFAULT_MODEL, folder.last if verdict.better else None)
    return verdict


def mean_dice(weights: Path, targets: Sequence[tuple[Volume, NDArray[np.bool_]]]) -> float:
    """The default model's Dice with some weights, averaged over targets and over one to three simulated clicks."""
    model = promptable(open_model(DEFAULT_MODEL, weights=weights, device="cpu"))
    return float(np.mean([np.mean(list(_dices(Session(volume, model), target))) for volume, target in targets]))


def _dices(session: Session, target: NDArray[np.bool_]) -> Iterator[float]:
    grid = session.volume.grid
    prompts = PromptSet((first_click(target, grid),))
    for _ in range(_CLICKS):
        answer = session.predict(prompts).mask.on(grid.shape).view(bool)
        yield dice(answer, target)
        wrong = correction(target, answer, grid)
        prompts = prompts if wrong is None else prompts.with_(wrong)


def _shipped() -> Iterator[tuple[Volume, NDArray[np.bool_]]]:
    phantom = make_phantom()
    for tumor in phantom.tumors[:_SHIPPED]:
        yield phantom.volume, phantom.labels.array == tumor.label
