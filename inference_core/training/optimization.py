"""The optimizer of a plan: groups of parameters by their names, each with its rate and the norm it is cut to."""

from __future__ import annotations

import re

import torch
from torch import nn

from inference_core.training.config import TrainConfig
from inference_core.training.recipe import Plan

_OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


class Optimization:
    """One optimizer over all trained parameters; a parameter is in the first group whose pattern its name matches."""

    def __init__(self, network: nn.Module, plan: Plan, config: TrainConfig) -> None:
        self.groups = plan.groups
        self._rate = config.learning_rate
        members: list[list[nn.Parameter]] = [[] for _ in plan.groups]
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                members[_group_of(name, plan)].append(parameter)
        self._members = members
        weight_decay = config.weight_decay or 0.0
        self.optimizer = _OPTIMIZERS[plan.optimizer](
            [{"params": found} for found in members if found], lr=self._rate, weight_decay=weight_decay
        )

    def set_rate(self, factor: float) -> None:
        """Set all groups' learning rates to their share of the highest rate times a factor."""
        shares = [group.rate for group, found in zip(self.groups, self._members, strict=True) if found]
        for values, share in zip(self.optimizer.param_groups, shares, strict=True):
            values["lr"] = self._rate * share * factor

    def clip(self) -> list[float]:
        """Cut each group's gradient to its norm; the norms before."""
        norms = []
        for group, found in zip(self.groups, self._members, strict=True):
            if found:
                largest = float("inf") if group.clip is None else group.clip
                norms.append(float(nn.utils.clip_grad_norm_(found, largest)))
        return norms


def trained_count(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def train_only(network: nn.Module, pattern: str) -> None:
    """Let gradients reach only the parameters in whose names a regular expression is found."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(re.search(pattern, name) is not None)


def _group_of(name: str, plan: Plan) -> int:
    for index, group in enumerate(plan.groups):
        if re.search(group.pattern, name):
            return index
    raise ValueError(f"no group of the plan takes {name}")
