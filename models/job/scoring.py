"""Run a model over examples: recall all, classify the top k, and put the two together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.candidates import CandidateList
from models.chunks import Vectors
from models.decision import Calibration, relation_log_probabilities, scores, within_reach
from models.job.dataset import Example
from models.relation import Relation
from models.text import DescriptionInput, Instance, InstanceInput
from models.wordings import relation_vectors

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Model(Protocol):
    """What a checkpoint and a bundle's runtime both can do."""

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        """Tokenize instances."""

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        """Tokenize descriptions."""

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        """Unit vectors (instances, dimension)."""

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """Unit vectors (descriptions, dimension)."""

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        """Logits (lists, k)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Both models' raw scores of examples against a set of relations.

    Attributes:
        relations: ids of the columns.
        cosines: recall's score of every relation (examples, relations).
        top: columns of the k best recalled, best first (examples, k).
        logits: the classifier's score of those (examples, k), or None if recall ran alone.
    """

    relations: list[str]
    cosines: Vectors
    top: Integers
    logits: Floats | None

    def among(self, k: int) -> Scored:
        """The same with only the first k candidates classified."""
        logits = None if self.logits is None else self.logits[:, :k]
        return Scored(self.relations, self.cosines, self.top[:, :k], logits)

    def read(self, calibration: Calibration) -> int:
        """How many candidates the classifier has to read, of all examples together."""
        return int(within_reach(calibration, self.top_cosines()).sum())

    def first(self, rows: int) -> Scored:
        """The same of the first rows only."""
        logits = None if self.logits is None else self.logits[:rows]
        return Scored(self.relations, self.cosines[:rows], self.top[:rows], logits)

    def top_cosines(self) -> Floats:
        """Recall's score of the top k (examples, k)."""
        return np.take_along_axis(self.cosines, self.top, axis=1).astype(np.float64)

    def recalled(self) -> list[str]:
        """Recall's first choice for each example."""
        return [self.relations[column] for column in self.top[:, 0]]

    def classified(self) -> list[str]:
        """The classifier's own choice among the k, recall's scores thrown away."""
        return self._chosen(self._logits())

    def likelihoods(self, calibration: Calibration) -> Floats:
        """P(i | some) of the top k by both models (examples, k)."""
        return np.exp(relation_log_probabilities(calibration, self.top_cosines(), self._logits()))

    def fused(self, calibration: Calibration) -> list[str]:
        """The choice by both models, none not being a choice."""
        return self._chosen(self.likelihoods(calibration))

    def decided(self, calibration: Calibration, threshold: float | None = None) -> list[str | None]:
        """The answer as the service gives it: None where no candidate's score reaches the threshold."""
        found = scores(calibration, self.top_cosines(), self._logits())
        least = calibration.threshold if threshold is None else threshold
        return [choice if row.max() >= least else None for choice, row in zip(self._chosen(found), found, strict=True)]

    def _logits(self) -> Floats:
        if self.logits is None:
            raise ValueError("only recall was run: score with classify=True")
        return self.logits

    def _chosen(self, values: Floats) -> list[str]:
        best = np.take_along_axis(self.top, values.argmax(axis=1)[:, None], axis=1)[:, 0]
        return [self.relations[column] for column in best]


def score(
    model: Model, examples: Sequence[Example], relations: Sequence[Relation], k: int, *, classify: bool = True
) -> Scored:
    """Score examples against relations.

    Args:
        model: a checkpoint or a runtime.
        examples: at least one.
        relations: the candidates.
        k: how many of the best recalled the classifier reads; capped by the number of relations.
        classify: whether it does at all.
    """
    inputs = model.prepare([example.instance for example in examples])
    described = model.describe(relations)
    cosines = model.encode_instances(inputs) @ relation_vectors(model, relations).T
    top = np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, len(relations))].astype(np.int64)
    found = Scored([relation.id for relation in relations], cosines, top, None)
    return replace(found, logits=_logits(model, inputs, described, top)) if classify else found


def classified(model: Model, examples: Sequence[Example], relations: Sequence[Relation], found: Scored) -> Scored:
    """What recall found of the same examples and relations, with the classifier's scores of its top k."""
    inputs = model.prepare([example.instance for example in examples])
    return replace(found, logits=_logits(model, inputs, model.describe(relations), found.top))


def _logits(
    model: Model, inputs: Sequence[InstanceInput], described: Sequence[DescriptionInput], top: Integers
) -> Floats:
    lists = [CandidateList(x, tuple(described[i] for i in row)) for x, row in zip(inputs, top, strict=True)]
    return np.asarray(model.classify(lists), dtype=np.float64)
