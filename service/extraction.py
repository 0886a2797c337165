"""Encode, search, classify, decide: from sentences to relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.candidates import CandidateList
from models.decision import scores, within_reach
from models.relation import Relation
from models.text import DescriptionInput, InputError, Instance, InstanceInput
from service.batching import one_by_one
from service.errors import UnknownRelationsError, UnknownTagsError
from service.index import Found, Hit, RelationIndex, Search
from service.metrics import Metrics

Vectors = npt.NDArray[np.float32]
Value = TypeVar("Value")

DECIMALS = 6
"""Digits of a score behind the point; the threshold is compared with the score as it is answered."""


class Model(Protocol):
    """What the service needs of `models.runtime.Runtime`."""

    bundle: Bundle

    def prepare(self, instances: Sequence[Instance], /) -> list[InstanceInput]:
        """Tokenize instances."""

    def describe(self, relations: Sequence[Relation], /) -> list[DescriptionInput]:
        """Tokenize descriptions."""

    def encode_instances(self, inputs: Sequence[InstanceInput], /) -> Vectors:
        """Vectors of shape (instances, dimension)."""

    def encode_descriptions(self, inputs: Sequence[DescriptionInput], /) -> Vectors:
        """Vectors of shape (descriptions, dimension)."""

    def classify(self, lists: Sequence[CandidateList], /) -> Vectors:
        """Logits of shape (lists, k), -inf where a list has fewer candidates."""


@dataclass(frozen=True, slots=True)
class Query:
    """One extraction: the instance, how many candidates to answer with, and what may narrow the answer.

    `threshold` is the bundle's where it is None; `relations` are the ids of the only ones to choose from, and `tags`
    those of which each has one at least.
    """

    instance: Instance
    top_k: int = 3
    threshold: float | None = None
    relations: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A relation and its calibrated probability."""

    id: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The relation, or None where no candidate reaches the threshold; the candidates are best first."""

    relation: Scored | None
    candidates: list[Scored]
    truncated: bool
    registry_version: int
    model: str


class Extractor:
    """Extracts relations with a model and an index."""

    def __init__(self, model: Model, index: RelationIndex, metrics: Metrics) -> None:
        self._model = model
        self._index = index
        self._metrics = metrics
        self._manifest = model.bundle.manifest
        self._calibration = model.bundle.calibration

    def extract(self, queries: Sequence[Query]) -> list[Answer | Exception]:
        """Answer queries together; each answer is the one that the query would get alone.

        Returns:
            One answer for each query, in order; for a query that is at fault, its `InputError`,
            `UnknownRelationsError` or `UnknownTagsError`.
        """
        with self._metrics.stage("tokenize"):
            prepared = one_by_one(self._model.prepare, [query.instance for query in queries])
        inputs = _sound(prepared)
        version, found = self._search(inputs, queries)
        lists = {row: self._to_read(inputs[row], rows.hits) for row, rows in found.items() if rows.hits}
        logits: dict[int, Vectors] = {}
        if lists:
            with self._metrics.stage("classify"):
                padded = self._model.classify([*lists.values()])
            logits = {row: x[: len(lists[row].candidates)] for row, x in zip(lists, padded, strict=True)}
        answers: list[Answer | Exception] = []
        for row, query in enumerate(queries):
            fault = prepared[row]
            if isinstance(fault, Exception):
                answers.append(fault)
            elif found[row].unknown:
                answers.append(UnknownRelationsError(found[row].unknown))
            elif found[row].unknown_tags:
                answers.append(UnknownTagsError(found[row].unknown_tags))
            else:
                answers.append(self._decide(query, inputs[row], found[row].hits, logits.get(row), version))
        return answers

    def _to_read(self, prepared: InstanceInput, hits: Sequence[Hit]) -> CandidateList:
        """The candidates that can still be the answer: best recalled first, so the first of the hits."""
        read = within_reach(self._calibration, np.array([hit.cosine for hit in hits], dtype=np.float64))
        # Tokenized now and not when they were registered: of a million relations, few are ever read.
        wanted = [Relation(x.entry.id, x.entry.name, x.entry.description) for x in hits[: int(read.sum())]]
        return CandidateList(prepared, tuple(self._model.describe(wanted)))

    def _search(self, inputs: dict[int, InstanceInput], queries: Sequence[Query]) -> tuple[int, dict[int, Found]]:
        if not inputs:
            return self._index.version, {}
        with self._metrics.stage("encode"):
            vectors = self._model.encode_instances(list(inputs.values()))
        searches = [
            Search(max(self._manifest.candidates, queries[row].top_k), queries[row].relations, queries[row].tags)
            for row in inputs
        ]
        with self._metrics.stage("search"):
            version, found = self._index.search(vectors, searches)
        return version, dict(zip(inputs, found, strict=True))

    def _decide(
        self, query: Query, prepared: InstanceInput, hits: Sequence[Hit], logits: Vectors | None, version: int
    ) -> Answer:
        candidates: list[Scored] = []
        if logits is not None:
            cosines = np.array([hit.cosine for hit in hits], dtype=np.float64)
            known = np.full(len(hits), np.nan)
            known[: len(logits)] = logits
            values = scores(self._calibration, cosines, known).round(DECIMALS)
            order = sorted(range(len(hits)), key=lambda i: (-values[i], -cosines[i], hits[i].entry.id))
            candidates = [Scored(hits[i].entry.id, hits[i].entry.name, float(values[i])) for i in order]
        threshold = self._calibration.threshold if query.threshold is None else query.threshold
        relation = candidates[0] if candidates and candidates[0].score >= threshold else None
        self._metrics.extraction(found=relation is not None)
        return Answer(relation, candidates[: query.top_k], prepared.truncated, version, self._manifest.name)


def within(item: int, error: Exception) -> Exception:
    """The same fault, with its field named as one of item `item` of a batch."""
    if isinstance(error, InputError):
        return InputError(f"items.{item}.{error.field}", error.message)
    if isinstance(error, UnknownRelationsError):
        return UnknownRelationsError(error.ids, f"items.{item}.{error.field}")
    if isinstance(error, UnknownTagsError):
        return UnknownTagsError(error.tags, f"items.{item}.{error.field}")
    return error


def _sound(values: Sequence[Value | Exception]) -> dict[int, Value]:
    return {row: value for row, value in enumerate(values) if not isinstance(value, Exception)}
