"""EMMA behind the interface of all methods: recall alone, and recall with the classifier at several k."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from models.baselines.method import Answers, Method
from models.chunks import Vectors
from models.job.checkpoint import Checkpoint, new_checkpoint
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from models.job.scoring import classified, score
from models.job.self_training import self_train
from models.job.train import train
from models.relation import Relation
from models.text import Instance

RECALL, CLASSIFIER, BOTH = "recall only", "classifier only", "recall + classifier"


class Emma(Method):
    """The recall tower and the classifier, by any recipe: as this project builds them, as published, or in part."""

    def __init__(self, recipe: Recipe) -> None:
        """Start from the recipe's encoder."""
        self.recipe = recipe
        self.checkpoint: Checkpoint = new_checkpoint(recipe)

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """Train and calibrate, into a checkpoint in `folder`."""
        self.checkpoint = train(self.recipe, data, folder, progress)
        history: list[dict[str, Any]] = self.checkpoint.training["history"]
        return history

    def score(self, instances: Sequence[Instance], relations: Sequence[Relation]) -> Vectors:
        """Recall's cosines, which are there for every relation."""
        return score(self.checkpoint, _unlabelled(instances), relations, 1, classify=False).cosines

    def answer(
        self, instances: Sequence[Instance], relations: Sequence[Relation], ks: Sequence[int]
    ) -> Iterator[Answers]:
        """Recall's first choice; then, at each k, the classifier's own and that of both.

        The paper's head answers at the k that it was trained for only, and no scores are put together for it.
        """
        examples = _unlabelled(instances)
        closed = self.recipe.reading == "published"
        ks = [self.recipe.candidates] if closed else sorted({min(k, len(relations)) for k in ks})
        start = time.process_time()
        found = score(self.checkpoint, examples, relations, max(ks), classify=False)
        recalling = time.process_time() - start
        yield Answers(RECALL, None, found.recalled(), recalling)
        if self.checkpoint.classifier is None:
            return
        start = time.process_time()
        found = classified(self.checkpoint, examples, relations, found)
        reading = time.process_time() - start
        for k in ks:
            among = found.among(k)
            yield Answers(CLASSIFIER, k, among.classified(), recalling + reading * k / max(ks))
            if not closed:
                # All of the largest k were read, of which this answer takes those within reach.
                share = among.read(self.checkpoint.calibration) / found.top.size
                yield Answers(BOTH, k, among.fused(self.checkpoint.calibration), recalling + reading * share)


class SelfTrained(Emma):
    """The same, having learnt besides from its own answers on text without labels."""

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """As the parent; what comes out is what each adaptation starts from."""
        history = super().train(data, folder, progress)
        self.trained = self.checkpoint
        return history

    def adapt(
        self,
        data: TrainingData,
        unlabelled: Sequence[Instance],
        relations: Sequence[Relation],
        folder: Path,
        progress: Progress,
    ) -> list[dict[str, Any]]:
        """Self-training from the trained checkpoint, whatever it was adapted to before."""
        self.checkpoint, history = self_train(self.trained, data, unlabelled, relations, folder, progress)
        return history


def _unlabelled(instances: Sequence[Instance]) -> list[Example]:
    return [Example(instance, None) for instance in instances]
