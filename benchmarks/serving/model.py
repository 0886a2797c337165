"""What an extraction costs in process: by the number of relations, by stage, and against reading every relation.

All times are of one sentence, in milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.serving.report import Row
from benchmarks.serving.work import relations
from models.candidates import CandidateList
from models.relation import Relation
from models.runtime import Runtime
from models.text import DescriptionInput, Instance
from service.extraction import Extractor, Query
from service.index import RelationIndex
from service.metrics import Metrics
from service.registration import entries

SEED = 0
PAIRS = 2_000
"""Sentence–relation pairs that are read, about, where every relation is: 10,000 of them take minutes."""


class Stopwatch:
    """Wall and processor seconds from when it was made; the latter of all threads of this process."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall_ms(self) -> float:
        """Milliseconds that have passed."""
        return 1000 * (time.perf_counter() - self._wall)

    def cpu_ms(self) -> float:
        """Milliseconds of processor time that were used."""
        return 1000 * (time.process_time() - self._cpu)


@dataclass(frozen=True, slots=True)
class Bench:
    """A bundle, the relations that it knows, and the sentences that are asked about."""

    runtime: Runtime
    known: Sequence[Relation]
    asked: Sequence[Instance]

    def growth(self, counts: Sequence[int]) -> list[Row]:
        """Wall time of an extraction with each number of relations, which take turns at each sentence."""
        extractors = [self._extractor(n) for n in counts]
        taken = np.empty((len(self.asked), len(counts)))
        for row, instance in enumerate(self.asked):
            for column, extractor in enumerate(extractors):
                watch = Stopwatch()
                extractor.extract([Query(instance)])
                taken[row, column] = watch.wall_ms()
        quartiles = np.quantile(taken, (0.25, 0.5, 0.75), axis=0)
        return [
            {"relations": n, "median": half, "lower": low, "upper": high, "ratio": half / quartiles[1, 0]}
            for n, (low, half, high) in zip(counts, quartiles.T.tolist(), strict=True)
        ]

    def against_every(self, counts: Sequence[int]) -> list[Row]:
        """Processor time of an extraction, and of reading the sentence with every relation, as PromptMatch does.

        Recall's encoder does that reading, over the two texts as one, so that size and precision are the same.
        """
        rows = []
        for n in counts:
            described = self.runtime.describe(relations(self.known, n))
            few = self.runtime.prepare(self.asked[: max(1, PAIRS // n)])
            watch = Stopwatch()
            for read in few:
                joined = [DescriptionInput(read.ids + x.ids[1:], truncated=False) for x in described]
                self.runtime.encode_descriptions(joined)
            every = watch.cpu_ms() / len(few)
            ours = self._batches_cpu(self._extractor(n), 1)
            rows.append({"relations": n, "extraction": ours, "every": every, "ratio": every / ours})
        return rows

    def batches(self, sizes: Sequence[int], repeats: int) -> list[Row]:
        """Processor and wall time of an extraction by the size of the batch; the sizes take turns."""
        extractor = self._extractor(len(self.known))
        found: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
        for _ in range(repeats):
            for size in sizes:
                watch = Stopwatch()
                cpu = self._batches_cpu(extractor, size)
                found[size].append((cpu, watch.wall_ms() / len(self.asked)))
        return [
            {"batch": size, "cpu": np.median([x for x, _ in taken]), "wall": np.median([x for _, x in taken])}
            for size, taken in found.items()
        ]

    def stages(self, ks: Sequence[int]) -> list[Row]:
        """Processor time of recall alone (k = 0), and with the classifier reading k candidates besides.

        The candidates are the same for all sentences, so that their states are kept after the first.
        """
        described = self.runtime.describe(self.known[: max(ks)])
        taken = np.zeros(1 + len(ks))
        for instance in self.asked:
            watch = Stopwatch()
            read = self.runtime.prepare([instance])
            self.runtime.encode_instances(read)
            recall = watch.cpu_ms()
            taken[0] += recall
            for column, k in enumerate(ks, start=1):
                watch = Stopwatch()
                self.runtime.classify([CandidateList(read[0], tuple(described[:k]))])
                taken[column] += recall + watch.cpu_ms()
        taken /= len(self.asked)
        return [{"k": k, "cpu": cpu, "ratio": cpu / taken[0]} for k, cpu in zip((0, *ks), taken.tolist(), strict=True)]

    def _extractor(self, count: int) -> Extractor:
        # What the vectors are changes no time, so they are drawn.
        index = RelationIndex(self.runtime.bundle.manifest.dimension)
        vectors = np.random.default_rng(SEED).standard_normal((count, index.dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.put(entries(self.runtime, relations(self.known, count), 1), vectors, 1)
        return Extractor(self.runtime, index, Metrics())

    def _batches_cpu(self, extractor: Extractor, size: int) -> float:
        watch = Stopwatch()
        for start in range(0, len(self.asked), size):
            extractor.extract([Query(x) for x in self.asked[start : start + size]])
        return watch.cpu_ms() / len(self.asked)
