"""What a search costs by the number of relations, exact and approximate.

One query at a time on one thread, as the service searches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.registry.filling import BATCH, Crowd
from benchmarks.serving.stopwatch import Stopwatch
from benchmarks.serving.table import Row
from models.chunks import Vectors
from models.runtime import available_processors
from service.index.flat import Flat
from service.index.lists import Lists
from service.index.source import Source
from service.index.turns import Turns

K = 10
SERVED = "as served"
"""The index of the service beyond the sizes at which it compares all."""

GROUPS = 5
"""Of the queries; each gives one time."""

NEIGHBOURS, BUILDING, SEARCHING = 32, 40, 64
"""HNSW's links of a vector, and the candidates that it looks at while it builds and while it searches."""

PROBES = 32
"""Lists that an inverted file looks into, of about as many as the root of the number of vectors."""

TRAINED_ON = 50
"""Vectors for each list by which an inverted file is trained."""

Integers = npt.NDArray[np.int64]


class Served:
    """The service's own tier for many relations, filled and asked as an index of FAISS's is."""

    is_trained = True

    def __init__(self, dimension: int) -> None:
        self._flats: list[Flat] = []
        self._dimension, self._count = dimension, 0
        self._lists: Lists | None = None

    def add(self, vectors: Vectors) -> None:
        """Take vectors (vectors, dimension), to be put into lists by `finish`."""
        flat = Flat(self._dimension)
        flat.add(np.arange(self._count, self._count + len(vectors), dtype=np.int64), vectors)
        self._flats.append(flat)
        self._count += len(vectors)

    def finish(self) -> None:
        """Make the lists."""
        source = Source(self._flats, self._dimension, Turns(), threading.Event())
        self._lists, self._flats = Lists.build(source), []

    def search(self, vectors: Vectors, k: int) -> tuple[None, Integers]:
        """Numbers of the nearest of one vector: shape (1, k)."""
        assert self._lists is not None
        return None, np.array([[number for _, number in self._lists.search(vectors[0], k)]])

    def parts(self) -> tuple[faiss.Index, ...]:
        """What takes up memory."""
        assert self._lists is not None
        return self._lists.parts()


def search(crowd: Crowd, queries: Vectors, counts: Sequence[int], chosen: Sequence[str], graphs_to: int) -> list[Row]:
    """Time of a query, recall@10 against the exact search, size and time of building, by number and kind.

    Args:
        crowd: of the relations.
        queries: unit vectors of sentences (queries, dimension), at least 5.
        counts: numbers of relations.
        chosen: kinds of index; the exact one comes first whether it is named or not.
        graphs_to: number beyond which graphs, whose building takes longest, are left out.
    """
    rows = []
    for count in counts:
        truth = None
        for kind in dict.fromkeys(("flat", *chosen)):
            if kind in GRAPHS and count > graphs_to:
                continue
            watch = Stopwatch()
            index = _built(KINDS[kind](crowd.vectors.shape[1], count), crowd, count)
            built = watch.wall_ms()
            taken, found = _asked(index, queries)
            truth = found if truth is None else truth
            rows.append(
                {
                    "relations": count,
                    "index": kind,
                    "ms": taken,
                    "recall_at_10": _recall(truth, found),
                    "mb": _bytes(index) / 1e6,
                    "building_s": built / 1000,
                }
            )
            # Before the next is built: two of a million vectors take 10 GB.
            del index
    return rows


def _built(index: Any, crowd: Crowd, count: int) -> Any:
    faiss.omp_set_num_threads(available_processors())
    try:
        if not index.is_trained:
            # Of all vectors: the first alone would be those around the first known ones.
            lists = getattr(index, "nlist", 1)
            index.train(_some(crowd, count, max(TRAINED_ON * lists, 10_000)))
        for block in _blocks(crowd, count):
            index.add(block)
        if isinstance(index, Served):
            index.finish()
    finally:
        faiss.omp_set_num_threads(1)
    return index


def _some(crowd: Crowd, count: int, most: int) -> Vectors:
    step = max(1, count // most)
    return np.concatenate([block[::step] for block in _blocks(crowd, count)])


def _blocks(crowd: Crowd, count: int) -> Iterator[Vectors]:
    for start in range(0, count, BATCH):
        yield crowd.drawn(range(start, min(start + BATCH, count)))


def _asked(index: Any, queries: Vectors) -> tuple[list[float], Integers]:
    """Milliseconds of a query, the median of each group, and what was found (queries, 10)."""
    taken, found = np.empty(len(queries)), np.empty((len(queries), K), dtype=np.int64)
    for row, query in enumerate(queries):
        watch = Stopwatch()
        _, numbers = index.search(query[None], K)
        taken[row] = watch.wall_ms()
        found[row] = numbers[0]
    return [float(np.median(group)) for group in np.array_split(taken, GROUPS)], found


def _recall(truth: Integers, found: Integers) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(truth, found, strict=True)]))


def _bytes(index: Any) -> int:
    """Of an index as it is written, which is what it takes in memory, without writing it."""
    total = 0

    def count(part: bytes) -> None:
        nonlocal total
        total += len(part)

    for part in index.parts() if isinstance(index, Served) else (index,):
        faiss.write_index(part, faiss.PyCallbackIOWriter(count))  # type: ignore[attr-defined]
    return total


def _scalar(dimension: int, precision: int) -> faiss.Index:
    return faiss.IndexScalarQuantizer(dimension, precision, faiss.METRIC_INNER_PRODUCT)


def _quantised_graph(dimension: int) -> faiss.Index:
    precision: Any = faiss.ScalarQuantizer.QT_8bit
    return faiss.IndexHNSWSQ(dimension, precision, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)


def _graph(index: faiss.Index) -> faiss.Index:
    hnsw = index.hnsw  # type: ignore[attr-defined]
    hnsw.efConstruction, hnsw.efSearch = BUILDING, SEARCHING
    return index


def _lists(dimension: int, count: int) -> faiss.Index:
    lists = max(1, min(round(count**0.5), count // TRAINED_ON))
    coarse = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, dimension, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.nprobe = min(PROBES, lists)
    return index


KINDS: dict[str, Callable[[int, int], Any]] = {
    "flat": lambda d, n: faiss.IndexFlatIP(d),
    "flat, fp16": lambda d, n: _scalar(d, faiss.ScalarQuantizer.QT_fp16),
    "flat, SQ8": lambda d, n: _scalar(d, faiss.ScalarQuantizer.QT_8bit),
    "HNSW": lambda d, n: _graph(faiss.IndexHNSWFlat(d, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)),
    "HNSW, SQ8": lambda d, n: _graph(_quantised_graph(d)),
    "IVF, SQ8": _lists,
    SERVED: lambda d, n: Served(d),
}
"""What makes an empty index of each kind, for a dimension and a number of vectors."""

GRAPHS = frozenset({"HNSW", "HNSW, SQ8"})
