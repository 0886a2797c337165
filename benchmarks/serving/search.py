"""What a search costs by the number of relations, exact and approximate.

One query at a time on one thread, as the service searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.serving.stopwatch import Stopwatch
from benchmarks.serving.table import Row
from benchmarks.serving.work import blocks
from models.chunks import Vectors
from models.runtime import available_processors

K = 10
GROUPS = 5
"""Of the queries; each gives one time."""

NEIGHBOURS, BUILDING, SEARCHING = 32, 40, 64
"""HNSW's links of a vector, and the candidates that it looks at while it builds and while it searches."""

PROBES = 32
"""Lists that an inverted file looks into, of about as many as the root of the number of vectors."""

TRAINED_ON = 50
"""Vectors for each list by which an inverted file is trained."""

Integers = npt.NDArray[np.int64]


def search(known: Vectors, queries: Vectors, counts: Sequence[int], chosen: Sequence[str], graphs_to: int) -> list[Row]:
    """Time of a query, recall@10 against the exact search, size and time of building, by number and kind.

    Args:
        known: unit vectors of real descriptions (relations, dimension), around which the others are drawn.
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
            index = _built(KINDS[kind](known.shape[1], count), known, count)
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


def _built(index: faiss.Index, known: Vectors, count: int) -> faiss.Index:
    faiss.omp_set_num_threads(available_processors())
    try:
        if not index.is_trained:
            # Of all vectors: the first alone would be those around the first known ones.
            lists = getattr(index, "nlist", 1)
            index.train(_some(known, count, max(TRAINED_ON * lists, 10_000)))
        for block in blocks(known, count):
            index.add(block)
    finally:
        faiss.omp_set_num_threads(1)
    return index


def _some(known: Vectors, count: int, most: int) -> Vectors:
    step = max(1, count // most)
    return np.concatenate([block[::step] for block in blocks(known, count)])


def _asked(index: faiss.Index, queries: Vectors) -> tuple[list[float], Integers]:
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


def _bytes(index: faiss.Index) -> int:
    """Of an index as it is written, which is what it takes in memory, without writing it."""
    total = 0

    def count(part: bytes) -> None:
        nonlocal total
        total += len(part)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))  # type: ignore[attr-defined]
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


KINDS: dict[str, Callable[[int, int], faiss.Index]] = {
    "flat": lambda d, n: faiss.IndexFlatIP(d),
    "flat, fp16": lambda d, n: _scalar(d, faiss.ScalarQuantizer.QT_fp16),
    "flat, SQ8": lambda d, n: _scalar(d, faiss.ScalarQuantizer.QT_8bit),
    "HNSW": lambda d, n: _graph(faiss.IndexHNSWFlat(d, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)),
    "HNSW, SQ8": lambda d, n: _graph(_quantised_graph(d)),
    "IVF, SQ8": _lists,
}
"""What makes an empty index of each kind, for a dimension and a number of vectors."""

GRAPHS = frozenset({"HNSW", "HNSW, SQ8"})
