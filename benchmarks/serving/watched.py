"""A model that keeps account of its processor time and of the candidates that it reads."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.serving.stopwatch import Stopwatch
from models.candidates import CandidateList
from models.chunks import Vectors
from models.relation import Relation
from models.text import DescriptionInput, Instance, InstanceInput
from service.extraction import Model


class Watched:
    """Does as another model does.

    Attributes:
        recall_ms: processor time of preparing and encoding instances since the last reset.
        classify_ms: of the classifier.
        candidates: that it read.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.bundle = model.bundle
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.recall_ms = self.classify_ms = 0.0
        self.candidates = 0

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        """Counts as recall."""
        watch = Stopwatch()
        found = self._model.prepare(instances)
        self.recall_ms += watch.cpu_ms()
        return found

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        """Not counted."""
        return self._model.describe(relations)

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        """Counts as recall."""
        watch = Stopwatch()
        found = self._model.encode_instances(inputs)
        self.recall_ms += watch.cpu_ms()
        return found

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """Not counted."""
        return self._model.encode_descriptions(inputs)

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        """Counts as the classifier's."""
        watch = Stopwatch()
        found = self._model.classify(lists)
        self.classify_ms += watch.cpu_ms()
        self.candidates += sum(len(x.candidates) for x in lists)
        return found
