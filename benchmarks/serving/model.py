"""What an extraction costs in process: by the number of relations, by stage, and against reading every relation.

All times are of one sentence, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.registry.filling import Crowd
from benchmarks.serving.stopwatch import Stopwatch
from benchmarks.serving.table import Row
from benchmarks.serving.watched import Watched
from benchmarks.serving.work import SEED, relations, vectors
from models.bench.data import CATALOGUE
from models.bundle import load_bundle
from models.candidates import CandidateList
from models.chunks import Vectors
from models.relation import Relation, read_relations
from models.runtime import Runtime
from models.text import DescriptionInput, Instance
from models.wordings import relation_vectors
from service.extraction import Extractor, Model, Query
from service.index import RelationIndex
from service.metrics import Metrics
from service.registration import entries

PAIRS = 2_000
"""Sentence–relation pairs that one repeat reads, about, where every relation is: 10,000 of them take minutes."""

SHIPS = "as it ships"
"""Stands for the k of what the service does."""

TIMES = 20
"""Extractions of each sentence beside it, which are over so soon that one alone would say little."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A bundle, the relations that it knows with their vectors, and the sentences that are asked about."""

    runtime: Runtime
    known: Sequence[Relation]
    vectors: Vectors
    asked: Sequence[Instance]

    @classmethod
    def of(cls, path: Path, asked: Sequence[Instance], threads: int | None = 1) -> Bench:
        """The bundle of a directory; one that has no relations gets the default catalogue.

        Args:
            path: the directory.
            asked: the sentences.
            threads: of one call of a graph, by default as in the service; None takes all processors.

        Raises:
            models.bundle.BundleError: it is none.
        """
        runtime = Runtime(load_bundle(path), threads)
        known = runtime.bundle.relations()
        if known:
            return cls(runtime, known, runtime.bundle.vectors(), asked)
        known = list(read_relations(CATALOGUE).values())
        return cls(runtime, known, relation_vectors(runtime, known), asked)

    def crowd(self, descriptions: Path | None) -> Crowd:
        """As many relations as are wanted around those of a relation file, or those that are known."""
        if descriptions is None:
            return Crowd(self.known, self.vectors)
        known = list(read_relations(descriptions).values())
        return Crowd(known, relation_vectors(self.runtime, known))

    def extractor(self, count: int | None = None, model: Model | None = None) -> Extractor:
        """An extractor that knows as many relations, by default the bundle's; `model` runs in place of its graphs."""
        count = len(self.known) if count is None else count
        index = RelationIndex(self.runtime.bundle.manifest.dimension)
        index.put(entries(relations(self.known, count), 1), vectors(self.vectors, count), 1)
        # As a service searches them that has run for some seconds.
        index.settle()
        return Extractor(model or self.runtime, index, Metrics())

    def taken(self, extractor: Extractor, size: int) -> tuple[float, float]:
        """Processor and wall time of a sentence, all being asked about in batches of a size."""
        watch = Stopwatch()
        for start in range(0, len(self.asked), size):
            extractor.extract([Query(x) for x in self.asked[start : start + size]])
        return watch.cpu_ms() / len(self.asked), watch.wall_ms() / len(self.asked)

    def together(self, extractor: Extractor, workers: int, size: int = 1) -> tuple[float, float]:
        """As `taken`, by as many threads as there are workers, each taking the next batch as in the service."""
        queries = [Query(x) for x in self.asked]
        parts = [queries[start : start + size] for start in range(0, len(queries), size)]
        with ThreadPoolExecutor(workers) as threads:
            watch = Stopwatch()
            for _ in threads.map(extractor.extract, parts):
                pass
            return watch.cpu_ms() / len(queries), watch.wall_ms() / len(queries)

    def sharing(self, processors: int, rows: Sequence[int], repeats: int) -> list[Row]:
        """Processor and wall time of an extraction by how the processors share the reading, all ways taking turns.

        Either all read one batch together, or each reads a batch of its own; and a batch has as many rows as one call
        of a graph gets. `speed` is how many sentences are read in the time of one in the first way.
        """
        ways = [(workers, processors // workers, n) for n in rows for workers in (1, processors)]
        extractors = [self.extractor(model=Runtime(self.runtime.bundle, threads, n)) for _, threads, n in ways]
        for extractor in extractors:
            # What is set up lazily is not to be measured.
            extractor.extract([Query(self.asked[0])])
        taken = np.array(
            [
                [self.together(x, way[0], way[2]) for x, way in zip(extractors, ways, strict=True)]
                for _ in range(repeats)
            ]
        )
        return [
            {
                "at_once": workers,
                "threads_each": threads,
                "rows": n,
                "cpu_ms": taken[:, column, 0].tolist(),
                "wall_ms": taken[:, column, 1].tolist(),
                "speed": (taken[:, 0, 1] / taken[:, column, 1]).tolist(),
            }
            for column, (workers, threads, n) in enumerate(ways)
        ]

    def growth(self, counts: Sequence[int], repeats: int) -> list[Row]:
        """Wall time of an extraction, the median over the sentences, with each number of relations in turn.

        `first_ms` is of the first time round, when most candidates' descriptions have yet to be read for the
        classifier; the others find those of them that the runtime keeps.
        """
        # Each with graphs of its own, whose memory of descriptions is of its own relations.
        extractors = [self.extractor(n, Runtime(self.runtime.bundle, threads=1)) for n in counts]
        taken = np.empty((1 + repeats, len(counts), len(self.asked)))
        for again in range(1 + repeats):
            for column, instance in enumerate(self.asked):
                for row, extractor in enumerate(extractors):
                    watch = Stopwatch()
                    extractor.extract([Query(instance)])
                    taken[again, row, column] = watch.wall_ms()
        first, later = np.median(taken[0], axis=-1), np.median(taken[1:], axis=-1)
        return [
            {
                "relations": n,
                "ms": later[:, row].tolist(),
                "ratio": (later[:, row] / later[:, 0]).tolist(),
                "first_ms": float(first[row]),
                "first_ratio": (first[row] / later[:, 0]).tolist(),
            }
            for row, n in enumerate(counts)
        ]

    def against_every(self, counts: Sequence[int], repeats: int) -> list[Row]:
        """Processor time of an extraction, and of reading the sentence with every relation, as PromptMatch does.

        Recall's encoder does that reading, over the two texts as one, so that size and precision are the same; it
        gets batches and no phrase to open with, while the extractions come one at a time, with all their stages.
        """
        draw = np.random.default_rng(SEED)
        rows = []
        for n in counts:
            described = self.runtime.describe(relations(self.known, n))
            extractor = self.extractor(n)
            row: Row = {"relations": n, "extraction_ms": [], "every_ms": [], "ratio": []}
            for _ in range(repeats):
                few = draw.choice(len(self.asked), min(len(self.asked), max(1, PAIRS // n)), replace=False)
                asked = [self.asked[i] for i in few]
                watch = Stopwatch()
                for read in self.runtime.prepare(asked):
                    joined = [DescriptionInput(read.ids + x.ids[1:], truncated=False) for x in described]
                    self.runtime.encode_descriptions(joined)
                every = watch.cpu_ms() / len(asked)
                watch = Stopwatch()
                for instance in asked * TIMES:
                    extractor.extract([Query(instance)])
                ours = watch.cpu_ms() / len(asked) / TIMES
                row["extraction_ms"].append(ours)
                row["every_ms"].append(every)
                row["ratio"].append(every / ours)
            rows.append(row)
        return rows

    def batches(self, sizes: Sequence[int], repeats: int) -> list[Row]:
        """Processor and wall time of an extraction by the size of the batch, read at once; the sizes take turns.

        `speed` is how many sentences are read in the time of one at the first size.
        """
        extractors = [(size, self._reading_at_once(size)) for size in sizes]
        taken = np.array([[self.taken(x, size) for size, x in extractors] for _ in range(repeats)])
        return [
            {
                "batch": size,
                "cpu_ms": taken[:, column, 0].tolist(),
                "wall_ms": taken[:, column, 1].tolist(),
                "speed": (taken[:, 0, 1] / taken[:, column, 1]).tolist(),
            }
            for column, size in enumerate(sizes)
        ]

    def stages(self, ks: Sequence[int], repeats: int) -> list[Row]:
        """Processor time of recall alone (k = 0), with the classifier reading k candidates, and as it ships.

        What ships reads as many candidates as can still be the answer, at most the bundle's k; the search and what
        is decided are left out of all rows alike.
        """
        # The same for all sentences, so that their states are kept after the first.
        described = self.runtime.describe(self.known[: max(ks)])
        watched = Watched(self.runtime)
        extractor = self.extractor(model=watched)
        taken, counts = np.zeros((repeats, 2 + len(ks))), np.zeros(repeats)
        for again in range(repeats):
            watched.reset()
            for instance in self.asked:
                watch = Stopwatch()
                read = self.runtime.prepare([instance])
                self.runtime.encode_instances(read)
                taken[again, 0] += watch.cpu_ms()
                for column, k in enumerate(ks, start=1):
                    watch = Stopwatch()
                    self.runtime.classify([CandidateList(read[0], tuple(described[:k]))])
                    taken[again, column] += watch.cpu_ms()
                extractor.extract([Query(instance)])
            taken[again, 1:-1] += taken[again, 0]
            taken[again, -1] = watched.recall_ms + watched.classify_ms
            counts[again] = watched.candidates / len(self.asked)
        taken /= len(self.asked)
        return [
            {
                "k": k,
                "candidates_read": counts.tolist() if k == SHIPS else k,
                "cpu_ms": taken[:, column].tolist(),
                "ratio": (taken[:, column] / taken[:, 0]).tolist(),
            }
            for column, k in enumerate((0, *ks, SHIPS))
        ]

    def company(self, sizes: Sequence[int]) -> list[Row]:
        """The largest change of any candidate's score by being in a batch, drawn at random, instead of alone."""
        extractor = self.extractor()
        k = self.runtime.bundle.manifest.candidates
        queries = [Query(x, top_k=k) for x in self.asked]
        alone = [_scores(extractor, [query])[0] for query in queries]
        draw = np.random.default_rng(SEED)
        rows = []
        for size in sizes:
            order, extractor = draw.permutation(len(queries)).tolist(), self._reading_at_once(size)
            together = [
                found
                for start in range(0, len(order), size)
                for found in _scores(extractor, [queries[i] for i in order[start : start + size]])
            ]
            changes = [_largest_change(alone[i], found) for i, found in zip(order, together, strict=True)]
            rows.append({"batch": size, "sentences": len(order), "largest_change": max(changes)})
        return rows

    def _reading_at_once(self, rows: int) -> Extractor:
        return self.extractor(model=Runtime(self.runtime.bundle, 1, rows))


def _scores(extractor: Extractor, queries: Sequence[Query]) -> list[dict[str, float]]:
    answers = extractor.extract(queries)
    return [{} if isinstance(x, Exception) else {y.id: y.score for y in x.candidates} for x in answers]


def _largest_change(first: dict[str, float], second: dict[str, float]) -> float:
    """Over the candidates of either; one that only one of the two has counts with its whole score."""
    return max((abs(first.get(x, 0.0) - second.get(x, 0.0)) for x in first | second), default=0.0)
