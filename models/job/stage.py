"""What a training loop needs to know of what it trains."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe


class Stage(ABC):
    """A model, its batches, its loss and the number by which its best epoch is chosen.

    Attributes:
        name: of the stage, in files and in the metrics.
        module: what the optimizer changes.
        epochs: passes.
        learning_rate: at its peak.
        warmup_steps: over which it rises to it.
        start_share: part of the weights at the start that is mixed back into those of an epoch.
    """

    name: str
    module: nn.Module
    epochs: int
    learning_rate: float
    warmup_steps: int
    start_share: float = 0.0

    def __init__(self, recipe: Recipe, data: TrainingData, device: torch.device) -> None:
        """Take the settings, the data, and where the module is."""
        self.recipe = recipe
        self.warmup_steps = recipe.warmup_steps
        self.data = data
        self.device = device

    @abstractmethod
    def batches(self, epoch: int) -> list[list[int]]:
        """Row numbers of each step of an epoch; the same for the same seed and epoch."""

    @abstractmethod
    def loss(self, rows: Sequence[int], draw: random.Random) -> Tensor:
        """The loss of one step, a scalar."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Metrics by name; `score` is the one to maximise."""

    def wording(self, relation: str, draw: random.Random) -> str:
        """A description of a relation for one step: any of its wordings, or the principal one."""
        known = self.data.relations[relation]
        return draw.choice(known.wordings() if self.recipe.paraphrases else (known.description,))

    def valid_examples(self) -> list[Example]:
        """The related pairs of validation, at most as many as the recipe allows."""
        related = [x for x in self.data.valid if x.relation is not None]
        return related[: self.recipe.valid_instances]
