"""A registry of very many relations: filled, read, searched, changed, and its index made anew while it is searched."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.registry.filling import BATCH, HALF, HUNDREDTH, Crowd, bearers
from benchmarks.serving.table import Row
from models.chunks import Vectors
from service.index import Cache, RelationIndex, Search, Tiers
from service.registration import restore, synchronise
from service.registry import Registry, locate

K = 10
CHANGES = 200
"""Single insertions, and as many deletions, that are timed."""

WORN = 1_000
"""One relation in so many is deleted, so that the whole index has to be made anew, with tiers that ask for it then."""


class Million:
    """Measures one registry in a directory; `rows` is what came out."""

    def __init__(self, folder: Path, crowd: Crowd, queries: Vectors, count: int, fingerprint: str) -> None:
        """Set up; nothing is made yet.

        Args:
            folder: empty, or with the registry that an earlier run has filled.
            crowd: where the relations come from.
            queries: unit vectors of sentences (queries, dimension).
            count: relations.
            fingerprint: of the encoder that the vectors are from.
        """
        self.rows: list[Row] = []
        self._folder, self._crowd, self._queries, self._count = folder, crowd, queries, count
        self._registry = Registry.open(locate(folder), fingerprint)
        self._cache = folder / "index"
        self._dimension = queries.shape[1]

    def run(self) -> None:
        """All of it, in this order."""
        self._fill()
        index = self._read()
        self._searches(index)
        self._changes(index)
        self._extension(index)
        index.close()
        del index
        index = self._restart()
        self._rebuild(index)
        index.close()
        self._registry.close()

    def _note(self, what: str, **values: Any) -> None:
        row = {"what": what, **values}
        print(row, flush=True)
        self.rows.append(row)

    def _fill(self) -> None:
        there = self._registry.page(limit=1).total
        start = time.perf_counter()
        for drafts in self._crowd.drafts(self._count - there, there):
            self._registry.add(drafts)
        seconds = time.perf_counter() - start
        self._note(
            "fill", seconds=seconds, per_second=(self._count - there) / seconds, disk_gb=_size(self._folder) / 1e9
        )

    def _read(self) -> RelationIndex:
        """A start without a kept index; it is searched from the first row on, and approximately when it is settled."""
        start = time.perf_counter()
        index = self._opened(None, Cache(self._cache, self._registry.fingerprint))
        with index.loading():
            synchronise(self._registry, index)
        read = time.perf_counter() - start
        self._note("start without a kept index: all read", seconds=read, memory_gb=_resident() / 1e9)
        during = self._while(index, index.settle)
        self._note("then, until the index is made", **during, memory_gb=_resident() / 1e9, index=index.tier)
        self._note("most memory until then", memory_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        self._note("kept index", disk_gb=_size(self._cache) / 1e9)
        return index

    def _searches(self, index: RelationIndex) -> None:
        some = [
            f"{self._crowd.known[n % len(self._crowd.known)].id}.{n}" for n in range(0, self._count, self._count // 20)
        ]
        kinds = {
            "search": Search(K),
            "search among 20 ids": Search(K, restrict=some),
            "search among a tag of a hundredth": Search(K, tags=[HUNDREDTH]),
            "search among a tag of a half": Search(K, tags=[HALF]),
        }
        for what, search in kinds.items():
            index.search(self._queries[:1], [search])
            taken = [_timed(index.search, q[None], [search]) for q in self._queries]
            self._note(what, **_latency(taken))
        for tag in (None, HUNDREDTH, HALF):
            among = "" if tag is None else f" among a tag of a {tag}"
            self._note(f"recall@10 of a search{among}", recall=self._recall(index, tag))

    def _recall(self, index: RelationIndex, tag: str | None) -> float:
        best = np.full((len(self._queries), K), -np.inf, dtype=np.float32)
        ids = np.zeros((len(self._queries), K), dtype=np.int64)
        for start in range(0, self._count, BATCH):
            # Drawn as they were for the registry: the whole batch, whoever of it has the tag.
            drawn = range(start, min(start + BATCH, self._count))
            numbers = bearers(tag, drawn)
            vectors = self._crowd.drawn(drawn)[[n - start for n in numbers]]
            cosines = np.concatenate([best, self._queries @ vectors.T], axis=1)
            every = np.concatenate([ids, np.broadcast_to(np.array(numbers), (len(ids), len(numbers)))], axis=1)
            order = np.argpartition(-cosines, K, axis=1)[:, :K]
            best, ids = np.take_along_axis(cosines, order, axis=1), np.take_along_axis(every, order, axis=1)
        search = Search(K, tags=None if tag is None else [tag])
        shared = 0
        for query, wanted in zip(self._queries, ids.tolist(), strict=True):
            _, [found] = index.search(query[None], [search])
            shared += len({int(hit.entry.id.rsplit(".", 1)[1]) for hit in found.hits} & {*wanted})
        return shared / ids.size

    def _changes(self, index: RelationIndex) -> None:
        added = [draft for drafts in self._crowd.drafts(CHANGES, self._count) for draft in drafts]

        def insert(position: int) -> None:
            self._registry.add([added[position]])
            synchronise(self._registry, index)

        def delete(position: int) -> None:
            self._registry.delete(added[position].id)
            synchronise(self._registry, index)

        for what, change in (("insert one", insert), ("delete one", delete)):
            self._note(what, **_latency([_timed(change, n) for n in range(CHANGES)]))

    def _extension(self, index: RelationIndex) -> None:
        """What came later goes into the base, as it does every hundredth of it."""
        later = 1 + max(Tiers().delta, self._count // Tiers().delta_share)
        for drafts in self._crowd.drafts(later, self._count + CHANGES):
            self._registry.add(drafts)
        synchronise(self._registry, index)
        self._note(f"search while {later:,} later ones go into the index", **self._while(index, index.settle))

    def _restart(self) -> RelationIndex:
        start = time.perf_counter()
        index = self._opened(Tiers(dead_share=WORN), Cache(self._cache, self._registry.fingerprint))
        with index.loading():
            restore(self._registry, index)
            kept = len(index)
            synchronise(self._registry, index)
        seconds = time.perf_counter() - start
        self._note("start with the kept index", seconds=seconds, memory_gb=_resident() / 1e9, index=index.tier)
        self._note("of these were kept", relations=kept)
        return index

    def _rebuild(self, index: RelationIndex) -> None:
        index.settle()
        for number in range(2 + 2 * self._count // WORN):
            self._registry.delete(f"{self._crowd.known[number % len(self._crowd.known)].id}.{number}")
        synchronise(self._registry, index)
        self._note("search while the whole index is made anew", **self._while(index, index.settle))
        self._note("search", **_latency([_timed(index.search, q[None], [Search(K)]) for q in self._queries]))

    def _opened(self, tiers: Tiers | None, cache: Cache) -> RelationIndex:
        return RelationIndex(self._dimension, tiers, cache)

    def _while(self, index: RelationIndex, wait: Callable[[], None]) -> dict[str, Any]:
        """Latency of one search after the other until something is over, and how long that took."""
        over = threading.Event()
        waiting = threading.Thread(target=_after, args=(wait, over))
        start = time.perf_counter()
        waiting.start()
        taken: list[float] = []
        while not over.is_set():
            query = self._queries[len(taken) % len(self._queries)]
            taken.append(_timed(index.search, query[None], [Search(K)]))
        waiting.join()
        return {"seconds": time.perf_counter() - start, **_latency(taken)}


def _timed(do: Callable[..., object], *given: Any) -> float:
    start = time.perf_counter()
    do(*given)
    return 1000 * (time.perf_counter() - start)


def _latency(taken: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": float(np.median(taken)), "p99_ms": float(np.quantile(taken, 0.99)), "most_ms": max(taken)}


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _after(wait: Callable[[], None], over: threading.Event) -> None:
    try:
        wait()
    finally:
        over.set()
