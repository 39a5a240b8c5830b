"""One training run from its configuration to its folder: what the command line and the module call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from inference_core.engine.device import choose_device
from inference_core.errors import OptionError, VolumeError
from inference_core.training.checkpointing import checkpoint_blocks
from inference_core.training.config import TrainConfig
from inference_core.training.data.cases import Case, DataSet, Split
from inference_core.training.data.checks import require_trainable
from inference_core.training.data.layouts import read_data_set
from inference_core.training.data.splits import split_by_patient
from inference_core.training.pools import Pool
from inference_core.training.presets import check_settings, resolved
from inference_core.training.processes import Device, OnCpu
from inference_core.training.progress import Reporter
from inference_core.training.recipe import Recipe, build_recipe
from inference_core.training.registry import recipe_entry
from inference_core.training.run_folder import SPLIT_FILE, RunFolder, read_config, read_splits
from inference_core.training.trainer import Trainer

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
# What may change when a run is gone on with.
_CHANGEABLE = ("steps", "minutes", "device", "workers", "save_every", "validate_every")


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    splits: Mapping[str, Split] | None = None,
    reporter: Reporter | None = None,
) -> RunFolder:
    """Train a model as configured, or go on with the run in `config.output`; the run's folder.

    `splits` say of each data set, by name, who is trained on; else the configuration does.

    Raises:
        SAM3DError: something given cannot be used; nothing has been trained then.
        KeyboardInterrupt: the run was interrupted, after its state was written.
    """
    if resume:
        config, splits = continued(config), read_splits(config.output / SPLIT_FILE)
    entry = recipe_entry(config.model)
    check_settings(config)
    sets = [read_data_set(path, labeled=not config.pretrain) for path in config.data]
    splits = splits or splits_of(config, sets)
    if not config.pretrain:
        require_trainable([(data, splits[data.name]) for data in sets], classes=config.classes)
    fabric = _fabric(config)
    recipe = _pretraining(config) if config.pretrain else build_recipe(entry, config, _classes(sets))
    trained = sum(len(_cases(data, splits[data.name].train)) for data in sets)
    config = resolved(config, recipe.plan, cases=trained, processes=fabric.world_size)
    if config.checkpointing:
        checkpoint_blocks(recipe.network)
    folder = RunFolder(config.output, entry.suffix)
    if fabric.is_global_zero and not resume:
        folder.begin(config, splits)
    fabric.barrier()
    trainer = Trainer(config, recipe, folder, fabric=fabric, reporter=reporter)
    if resume and folder.state.exists():  # a run that ended before its first state begins again
        trainer.resume()
    _run(trainer, recipe, config, sets, splits)
    return folder


def _pretraining(config: TrainConfig) -> Recipe:
    from inference_core.training.recipes.pretraining import build

    return build(config)


def continued(asked: TrainConfig) -> TrainConfig:
    """The configuration of the run in `asked.output`, with the budget and the hardware that are asked for now.

    Raises:
        OutputError: there is no run to go on with.
    """
    earlier, unset = read_config(asked.output), TrainConfig(asked.output)
    changed: dict[str, Any] = {
        name: getattr(asked, name) for name in _CHANGEABLE if getattr(asked, name) != getattr(unset, name)
    }
    if "minutes" in changed:
        changed.setdefault("steps", 0)
    elif "steps" in changed:
        changed["minutes"] = 0.0
    return replace(earlier, output=asked.output, **changed)


def splits_of(config: TrainConfig, sets: Sequence[DataSet]) -> dict[str, Split]:
    """Of each data set by name, who is trained on and who is kept back: as a file says, else by patient.

    Raises:
        OptionError: the file has nothing about one of the sets, or two of them have one name.
    """
    names = [data.name for data in sets]
    if len(set(names)) < len(names):
        raise OptionError("Two of the data sets have the same folder name; rename one of them.")
    if config.pretrain and config.split is None:
        # Without labels there is nothing to be kept from: the last case shows whether it goes well.
        return {data.name: Split(tuple(c.name for c in data.cases[:-1]) or (data.cases[0].name,),
                                 (data.cases[-1].name,)) for data in sets}  # fmt: skip
    if config.split is None:
        share, seed, fold = config.validation_share, config.seed, config.fold
        return {data.name: split_by_patient(data, share=share, seed=seed, fold=fold) for data in sets}
    splits = read_splits(config.split)
    missing = next((name for name in names if name not in splits), None)
    if missing is not None:
        raise OptionError(f"'{config.split.name}' says nothing about the data set '{missing}'; choose another split.")
    return splits


def _run(
    trainer: Trainer, recipe: Recipe, config: TrainConfig, sets: Sequence[DataSet], splits: Mapping[str, Split]
) -> None:
    trained = _pools(config, sets, [splits[data.name].train for data in sets])
    kept = _pools(config, sets, [splits[data.name].validation for data in sets])
    if sets and not trained:
        raise VolumeError("There is no labeled case to train on; check --data and the split.")
    validation = recipe.validation(kept) if kept or not sets else None
    trainer.run(list(recipe.stages(trained, batch=config.batch)), validation)


def _pools(config: TrainConfig, sets: Sequence[DataSet], names: Sequence[Sequence[str]]) -> list[Pool]:
    shares = config.shares or (1.0,) * len(sets)
    found = [Pool(share, _cases(data, wanted)) for share, data, wanted in zip(shares, sets, names, strict=True)]
    return [pool for pool in found if pool.cases]


def _cases(data: DataSet, names: Sequence[str]) -> tuple[Case, ...]:
    wanted = set(names)
    return tuple(case for case in data.cases if case.name in wanted)


def _classes(sets: Sequence[DataSet]) -> dict[int, str]:
    classes: dict[int, str] = {}
    for data in sets:
        classes |= data.classes
    return classes


def _fabric(config: TrainConfig) -> Device:
    """One process, or as many as torchrun or Slurm has started."""
    device = choose_device(config.device)
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError:
        return _on_cpu(config)
    precision = config.precision or ("bfloat16" if device == "cuda" else "float32")
    settings: dict[str, Any] = {"accelerator": device, "precision": _PRECISIONS[precision], "devices": 1}
    if TorchElasticEnvironment.detect() or SLURMEnvironment.detect():
        backend = "nccl" if device == "cuda" else "gloo"
        here, nodes = _processes()
        settings |= {"devices": here, "num_nodes": nodes}
        settings["strategy"] = DDPStrategy(find_unused_parameters=True, process_group_backend=backend)
    fabric = Fabric(**settings)
    fabric.launch()
    torch.manual_seed(config.seed)
    return fabric  # type: ignore[return-value]


def _on_cpu(config: TrainConfig) -> Device:
    """Without Fabric, as inside Slicer.

    Raises:
        OptionError: more is asked for than that can do.
    """
    if config.device not in ("auto", "cpu") or config.precision not in ("", "float32") or "WORLD_SIZE" in os.environ:
        raise OptionError("This needs Lightning Fabric; run: pip install 'sam3dsegment[train]'.")
    torch.manual_seed(config.seed)
    return OnCpu()


def _processes() -> tuple[int, int]:
    """How many processes run on this machine, and on how many machines: as torchrun or Slurm says."""
    told = os.environ
    if "LOCAL_WORLD_SIZE" in told:
        here = int(told["LOCAL_WORLD_SIZE"])
        return here, max(1, int(told["WORLD_SIZE"]) // here)
    return int(told.get("SLURM_NTASKS_PER_NODE") or 1), int(told.get("SLURM_NNODES") or 1)
