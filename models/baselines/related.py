"""Training on all related pairs, with the budget of EMMA's recall tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.baselines.mentions import marked_tensors
from models.baselines.method import StagedMethod
from models.baselines.validation import macro_f1
from models.job.batches import length_buckets
from models.job.dataset import Example, TrainingData
from models.job.stage import Stage
from models.text import InstanceInput


class RelatedStage(Stage):
    """A stage of a method with two towers; subclasses add the loss.

    Epochs, batch and learning rate are recall's, so that all such methods are given the same; the trained weights
    are validated and kept as they are, whatever `recall_start_share` says.

    Attributes:
        examples: the related pairs of the training data, and `inputs` the same as tokens.
        column: place of each seen relation among all seen ones.
    """

    def __init__(self, name: str, module: nn.Module, method: StagedMethod, data: TrainingData) -> None:
        """Tokenize the related pairs once."""
        super().__init__(method.recipe, data, method.device)
        self.name, self.module, self.method = name, module, method
        self.epochs = self.recipe.recall_epochs
        self.learning_rate = self.recipe.recall_learning_rate
        self.examples: list[Example] = [x for x in data.train if x.relation is not None]
        self.inputs: list[InstanceInput] = method.inputs.instances([x.instance for x in self.examples])
        self.column = {name: i for i, name in enumerate(data.train_relations)}

    def batches(self, epoch: int) -> list[list[int]]:
        """All related pairs in length buckets."""
        lengths = [len(x.ids) for x in self.inputs]
        return length_buckets(lengths, self.recipe.recall_batch, f"{self.recipe.seed}/{self.name}/{epoch}")

    def validate(self) -> dict[str, float]:
        """Macro F1 of the method as it stands."""
        return macro_f1(self.method, self)

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The tower's inputs, as `marked_tensors` gives them."""
        return marked_tensors(self.method.inputs, [self.inputs[row] for row in rows], self.device)

    def gold(self, rows: Sequence[int]) -> Tensor:
        """Column of each row's relation among all seen ones (rows,)."""
        return torch.tensor([self.column[str(self.examples[row].relation)] for row in rows], device=self.device)

    def holds(self, row: int) -> set[str]:
        """Every relation that is true of a row's pair."""
        example = self.examples[row]
        return {str(example.relation), *example.also}
