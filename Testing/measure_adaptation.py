"""What adapting to accepted masks is worth: five are accepted, others are clicked before and after.

    PYTHONPATH=.:Testing python Testing/measure_adaptation.py headneck_openkbp --label 3 --steps 200

The folder is any labeled data set (Resources/Docs/data.md). Prints the verdict, and Dice after each of ten clicks.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.protocol import correction, first_click
from inference_core.models.interface import PromptableModel, promptable
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.store import require_installed
from inference_core.prompts.prompt_set import PromptSet
from inference_core.training.accepted import accept
from inference_core.training.adapt import adapt
from inference_core.training.data.cases import Case
from inference_core.training.data.layouts import read_data_set

CLICKS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--label", type=int, default=1)
    parser.add_argument("--accepted", type=int, default=5)
    parser.add_argument("--judged", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="200 are some five minutes on two free cores")
    options = parser.parse_args()
    cases = [case for case in read_data_set(options.data).cases if has(case, options.label)]
    chosen = cases[: options.accepted]
    judged = cases[options.accepted : options.accepted + options.judged]
    start = require_installed(get_spec(DEFAULT_MODEL))
    with tempfile.TemporaryDirectory() as folder:
        mine, run = Path(folder) / "mine", Path(folder) / "run"
        for case in chosen:
            volume, target = case.read(), case.read_labels().array == options.label
            accept(mine, volume, target, PromptSet((first_click(target, volume.grid),)))
        print(adapt(mine, run, start_from=start, steps=options.steps).sentence())
        for title, weights in (("before", start), ("after", run / "last.safetensors")):
            model = promptable(open_model(DEFAULT_MODEL, weights=weights, device="cpu"))
            curves = np.array([list(curve(model, case, options.label)) for case in judged])
            print(f"{title}: mean Dice {' '.join(f'{value:.2f}' for value in curves.mean(axis=0))}")
            for level in (0.75, 0.8, 0.85):
                clicks = [int(np.argmax(row >= level)) + 1 if (row >= level).any() else CLICKS + 1 for row in curves]
                print(f"  clicks to {level}: {np.mean(clicks):.1f} {clicks}")


def has(case: Case, label: int) -> bool:
    return case.label is not None and int((case.read_labels().array == label).sum()) > 60


def curve(model: PromptableModel, case: Case, label: int) -> Iterator[float]:
    """Dice after each click; after the last error is gone it stays."""
    volume, target = case.read(), case.read_labels().array == label
    session, prompts = Session(volume, model), PromptSet((first_click(target, volume.grid),))
    for _ in range(CLICKS):
        answer = session.predict(prompts).mask.on(volume.grid.shape).view(bool)
        yield dice(answer, target)
        wrong = correction(target, answer, volume.grid)
        prompts = prompts if wrong is None else prompts.with_(wrong)


if __name__ == "__main__":
    main()
