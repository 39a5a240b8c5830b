"""What a training run is told. Empty and zero mean: as the model's paper does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from inference_core.training.interaction import Habits

USUAL_HABITS = Habits(box=0.28, foreign=0.15, line=0.12, scribble=0.06, lasso=0.06, drawn_correction=0.15)


@dataclass(frozen=True)
class LiteMixture:
    """What SAM3D lite sees beside the cases given, as shares of all samples, and how its simulated user behaves.

    The cases given have what is left, in the proportions of `TrainConfig.shares`; without any the rest is synthetic.

    Args:
        regions: regions of real images, found by their edges
        inserted: an artificial lesion in real tissue
        tiny: a target of a few voxels
        limb: a procedural lesion inside a limb
        synthetic: procedural volumes
        sizes: windows in voxels, small ones first, since they train faster and the network is convolutional
        batches: samples at once for each of the sizes
        stage_shares: the share of the run for each of the sizes
        habits: how the simulated user begins and corrects
    """

    regions: float = 0.25
    inserted: float = 0.08
    tiny: float = 0.06
    limb: float = 0.04
    synthetic: float = 0.02
    sizes: tuple[int, ...] = (32, 48, 64)
    batches: tuple[int, ...] = (8, 6, 4)
    stage_shares: tuple[float, ...] = (0.3, 0.45, 0.25)
    habits: Habits = USUAL_HABITS


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one run. Empty and zero mean: as the model's paper does it, or as the preset says.

    Args:
        output: the run's folder, which must be new, or of the run to go on with
        model: a name that `sam3dsegment models` lists
        data: folders or lists of labeled cases; none trains SAM3D lite on procedural volumes alone
        shares: how often each of the data sets is drawn from, in proportion; equally where empty
        start_from: weights to begin with: an official file, SAM's checkpoint, or another run's folder
        pretrain: learn the image encoder alone, without labels, by these: mae, emix, shed
        scope: what is trained: published, all, adapters, decoder, lora or norms, where the model has it
        steps: how many steps to train, in all
        minutes: how long to train, in all, where `steps` is not given
        epochs: passes over the cases, where neither is given
        preset: auto, cpu, 8gb, 24gb or h100: batch, precision and checkpointing that fit the hardware
        batch: samples at once in each process
        accumulate: batches whose gradients are added up before a step
        learning_rate: at its highest
        weight_decay: of the optimizer
        precision: float32 or bfloat16
        checkpointing: keep the activations of a block's input alone, and compute the rest again: a third of the memory
        clicks: prompts of the simulated user for each sample
        shared_clicks: tell every sample of a batch all clicks of the batch, as Medical SAM Adapter's code does
        text_encoder: the folder of a CLIP (open_clip's files): Medical SAM Adapter learns to be told in words too
        text_file: a JSON file of texts, each with its classes; by templates from the classes' names where empty
        image_size: side of the network's input in voxels, where the model can have another than its own
        classes: values of the labels to learn; all where empty
        split: a split.json of another run; by patient at random where empty
        fold: which fifth of the patients is kept back, 0 to 4
        validation_share: of the patients to keep back, where the data has no split of its own
        validate_every: steps between two looks at the kept back cases
        validation_samples: how many samples of them are looked at
        save_every: steps between two states to go on from
        ema: decay of the averaged copy of the weights that is written; 0 for none
        workers: processes that make samples, beside each process that trains
        device: auto, cpu or cuda
        cache: a folder for preprocessed cases; inside the run's where empty
        seed: of all random choices
        lite: SAM3D lite's own settings
    """

    output: Path
    model: str = "sam3d_lite"
    data: tuple[Path, ...] = ()
    shares: tuple[float, ...] = ()
    start_from: Path | None = None
    pretrain: tuple[str, ...] = ()
    scope: str = ""
    steps: int = 0
    minutes: float = 0.0
    epochs: int = 0
    preset: str = "auto"
    batch: int = 0
    accumulate: int = 0
    learning_rate: float = 0.0
    weight_decay: float | None = None
    precision: str = ""
    checkpointing: bool | None = None
    clicks: int = 0
    shared_clicks: bool = False
    text_encoder: Path | None = None
    text_file: Path | None = None
    image_size: int = 0
    classes: tuple[int, ...] = ()
    split: Path | None = None
    fold: int | None = None
    validation_share: float = 0.2
    validate_every: int = 250
    validation_samples: int = 48
    save_every: int = 250
    ema: float | None = None
    workers: int = 1
    device: str = "auto"
    cache: Path | None = None
    seed: int = 0
    lite: LiteMixture = field(default_factory=LiteMixture)
