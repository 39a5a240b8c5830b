"""A run's folder: all that it needs to be understood, used, and gone on with.

run.json           the model, and which file holds its weights: how `--weights RUN` finds them
config.json        every setting, with nothing left open
split.json         of each data set, which cases are trained on, kept back to choose weights by, and left out
environment.json   versions and hardware
log.jsonl          one line for each report
best.* last.*      weights: the best on the cases kept back, and the newest
state.pt           what it takes to go on as if the run had never stopped
page.html          curves, and pictures of the cases kept back
pictures           those pictures, a file for each look at the cases kept back, 24 at most
tensorboard        the curves for TensorBoard, where that is installed
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference_core import __version__
from inference_core.errors import OptionError, OutputError
from inference_core.io.atomic import make_folder, replacing
from inference_core.models.store import RUN_FILE
from inference_core.training.config import LiteMixture, TrainConfig
from inference_core.training.data.cases import Split
from inference_core.training.interaction import Habits

SPLIT_FILE = "split.json"
_PATHS = ("output", "start_from", "split", "cache", "text_encoder", "text_file")


class RunFolder:
    """One run's files, each written whole or not at all."""

    def __init__(self, path: Path, suffix: str) -> None:
        self.path, self.suffix = path, suffix

    @property
    def best(self) -> Path:
        """The weights that were the best on the cases kept back."""
        return self.path / f"best{self.suffix}"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.path / f"last{self.suffix}"

    @property
    def state(self) -> Path:
        """What it takes to go on."""
        return self.path / "state.pt"

    @property
    def log(self) -> Path:
        """One JSON line for each report."""
        return self.path / "log.jsonl"

    @property
    def page(self) -> Path:
        """Curves and pictures."""
        return self.path / "page.html"

    @property
    def pictures(self) -> Path:
        """Pictures of the cases kept back, a file a look at them."""
        return self.path / "pictures"

    @property
    def board(self) -> Path:
        """TensorBoard's files."""
        return self.path / "tensorboard"

    def begin(self, config: TrainConfig, splits: Mapping[str, Split]) -> None:
        """Make the folder and write down what the run is.

        Raises:
            OutputError: it holds something already, or cannot be made.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise OutputError(f"'{self.path}' is there already; go on with it (--resume), or choose another name.")
        make_folder(self.path)
        self.write("config.json", plain(config))
        self.write(SPLIT_FILE, {name: asdict(split) for name, split in splits.items()})
        self.write("environment.json", environment())
        self.write(RUN_FILE, {"model": config.model, "weights": None})

    def name_weights(self, model: str, weights: Path | None) -> None:
        """Say which file `--weights RUN` shall take; None where there is none worth taking."""
        self.write(RUN_FILE, {"model": model, "weights": None if weights is None else weights.name})

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one JSON file."""
        with replacing(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to the log.

        Raises:
            OutputError: the disk refuses it.
        """
        try:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"'{self.log}' cannot be written ({error.strerror}); free space.") from error

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines so far; a last one that was cut short is left out."""
        if not self.log.exists():
            return []
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def cut_log(self, step: int) -> None:
        """Forget the lines after a step: a run that was killed goes on from its newest state, and says them again."""
        kept = [line for line in self.lines() if line["step"] <= step]
        with replacing(self.log) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run that is there.

    Raises:
        OutputError: there is no run.
    """
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return from_plain(content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OutputError(f"'{folder}' is no run that can be gone on with; leave out --resume to begin one.") from error


def read_splits(path: Path) -> dict[str, Split]:
    """The split.json of a run, by the names of its data sets.

    Raises:
        OptionError: it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _split(sides) for name, sides in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise OptionError(f"'{path.name}' is no split; give the split.json of a run.") from error


def _split(sides: Mapping[str, Any]) -> Split:
    return Split(**{side: tuple(map(str, cases)) for side, cases in sides.items()})


def plain(config: TrainConfig) -> dict[str, Any]:
    """A configuration as JSON has it."""
    content = asdict(config)
    content["data"] = [str(path.resolve()) for path in config.data]
    for name in _PATHS:
        content[name] = None if content[name] is None else str(Path(content[name]).resolve())
    return content


def from_plain(content: Mapping[str, Any]) -> TrainConfig:
    """What `plain` gave."""
    values: dict[str, Any] = {name: _tuple(value) for name, value in content.items()}
    values |= {name: None if values.get(name) is None else Path(values[name]) for name in _PATHS}
    values["data"] = tuple(Path(path) for path in values["data"])
    lite: dict[str, Any] = {name: _tuple(value) for name, value in content["lite"].items()}
    lite["habits"] = Habits(**lite["habits"])
    return TrainConfig(**{**values, "lite": LiteMixture(**lite)})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def environment() -> dict[str, Any]:
    """Versions and hardware; no names of people, machines or folders."""
    import torch

    cards = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "sam3dsegment": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "system": platform.system(), "processor": platform.machine(), "threads": torch.get_num_threads(),
        "cards": cards, "command": Path(sys.argv[0]).name,
    }  # fmt: skip
