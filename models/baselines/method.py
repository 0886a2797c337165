"""The interface of a zero-shot method: it trains on seen relations and scores instances against any relations."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from models.chunks import Vectors
from models.emma.encoder import Vocabulary, load_vocabulary
from models.job.dataset import TrainingData
from models.job.devices import best_device
from models.job.loop import run_stage
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.relation import Relation
from models.text import InputBuilder, Instance, Lengths


@dataclass(frozen=True, slots=True)
class Answers:
    """What a method answers: one relation id for each instance.

    Attributes:
        variant: which of a method's answers these are; empty where it has one.
        k: candidates that were read together with the sentence; None where all relations were treated alike.
        chosen: relation ids, one for each instance.
        cpu_seconds: processor time that they took.
    """

    variant: str
    k: int | None
    chosen: list[str]
    cpu_seconds: float


class Method(ABC):
    """A method with its models.

    Attributes:
        recipe: the settings that all methods share: encoder, lengths, epochs, batch, learning rates, seed.
    """

    recipe: Recipe

    @abstractmethod
    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """Train, or go on where a killed run left off; one row of metrics for each epoch."""

    def adapt(
        self,
        data: TrainingData,
        unlabelled: Sequence[Instance],
        relations: Sequence[Relation],
        folder: Path,
        progress: Progress,
    ) -> list[dict[str, Any]]:
        """Learn relations that are about to be asked for from text without labels; most methods do not.

        Returns:
            One row of metrics for each epoch.
        """
        return []

    @abstractmethod
    def score(self, instances: Sequence[Instance], relations: Sequence[Relation]) -> Vectors:
        """How well each relation fits each instance, the higher the better: (instances, relations)."""

    def answer(
        self, instances: Sequence[Instance], relations: Sequence[Relation], ks: Sequence[int]
    ) -> Iterator[Answers]:
        """All answers that the method is judged by; `ks` matters to those that read only k candidates closely."""
        start = time.process_time()
        best = np.argmax(self.score(instances, relations), axis=1)
        yield Answers("", None, [relations[column].id for column in best], time.process_time() - start)


class StagedMethod(Method):
    """A method that is trained in stages. Subclasses make its models in their constructor, from `recipe.encoder`.

    Attributes:
        device: where the models are.
        inputs: makes model input; its tokenizer knows the entity markers.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Load the tokenizer and fix the seed, so that the same recipe starts from the same weights."""
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.device = torch.device(best_device())
        self.vocabulary: Vocabulary = load_vocabulary(recipe.encoder)
        self.inputs = InputBuilder(
            self.vocabulary.tokenizer,
            Lengths(recipe.sentence_tokens, recipe.description_tokens),
            self.vocabulary.special,
            # oneDNN compiles for each new shape, which costs more than the padding.
            pad_to_multiple_of=8,
        )

    @property
    def vocabulary_size(self) -> int:
        """Rows that an encoder's token table needs."""
        return int(self.vocabulary.tokenizer.get_vocab_size(with_added_tokens=True))

    @abstractmethod
    def stages(self, data: TrainingData) -> Iterator[Stage]:
        """What is trained, in order; a stage is asked for when the one before it is done."""

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """Train one stage after the other."""
        history: list[dict[str, Any]] = []
        for stage in self.stages(data):
            history.extend(run_stage(stage, folder, progress))
        return history


class DualTower(StagedMethod):
    """A method that encodes instances and relations apart, so that relations can be encoded beforehand."""

    @abstractmethod
    def encode_instances(self, instances: Sequence[Instance]) -> Vectors:
        """Vectors (instances, dimension)."""

    @abstractmethod
    def encode_descriptions(self, relations: Sequence[Relation]) -> Vectors:
        """Vectors (relations, dimension), whose dot product with an instance's is the score."""

    def score(self, instances: Sequence[Instance], relations: Sequence[Relation]) -> Vectors:
        """Dot products."""
        scores: Vectors = self.encode_instances(instances) @ self.encode_descriptions(relations).T
        return scores


class PairReader(StagedMethod):
    """A method that reads each sentence together with each relation."""

    @abstractmethod
    def score_pairs(self, pairs: Sequence[tuple[Instance, Relation]]) -> Vectors:
        """Scores (pairs,)."""

    def score(self, instances: Sequence[Instance], relations: Sequence[Relation]) -> Vectors:
        """One reading for each instance and relation."""
        flat = self.score_pairs([(instance, relation) for instance in instances for relation in relations])
        return flat.reshape(len(instances), len(relations))
