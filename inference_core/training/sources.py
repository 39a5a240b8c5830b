"""What a run trains on: pools of labeled cases, each with its share of the samples."""

from __future__ import annotations

from dataclasses import dataclass

from inference_core.training.config import TrainingConfig
from inference_core.training.labeled import LabeledVolume, organ_set, sarcoma_set


@dataclass(frozen=True, eq=False)
class Pool:
    """Cases drawn alike, and the share of all samples that are drawn from them."""

    share: float
    cases: tuple[LabeledVolume, ...]


@dataclass(frozen=True, eq=False)
class TrainingSources:
    """All that real windows are cut from; empty for a run on procedural volumes alone."""

    pools: tuple[Pool, ...] = ()

    @classmethod
    def read(cls, config: TrainingConfig, *, validation: bool = False) -> TrainingSources:
        """Read the cases to train on, or those to choose weights by, of every folder that the configuration names.

        Raises:
            VolumeError: a case cannot be used; the message names it.
        """
        folders = (
            (config.lesions, config.lesion_share),
            (config.organs, config.organ_share),
            (config.coarse_organs, config.coarse_share),
        )
        found = [(share, organ_set(folder, validation=validation)) for folder, share in folders if folder]
        if config.sarcoma:
            found.insert(0, (config.labeled, sarcoma_set(config.sarcoma, validation=validation)))
        return cls(tuple(Pool(share, tuple(cases)) for share, cases in found if cases))
