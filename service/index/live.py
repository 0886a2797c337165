"""The index: what of the registry an extraction searches, in memory, and always one version of it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import faiss
import numpy as np

from service.index.cache import Cache, Cached
from service.index.entries import Entries
from service.index.entry import Entry, Found, Hit, Search
from service.index.flat import Flat
from service.index.rebuild import Rebuild
from service.index.segment import Base, Segment, Vectors
from service.index.source import BLOCK, Source
from service.index.tiers import Tiers
from service.index.turns import Turns

EXACT = "flat"
"""What `/info` calls an index without a base."""


class RelationIndex:
    """Relations by id and by vector. Safe to call from several threads: each call sees and leaves one version.

    Searches run at the same time; a change waits for those that run, and those that come later wait for the change.

    There is a base where there are many relations; those that came later are beside it, compared exactly. When they
    have become many, a thread makes another base of all of them, and what is written meanwhile goes beside that.
    """

    def __init__(self, dimension: int, tiers: Tiers | None = None, cache: Cache | None = None) -> None:
        """An empty index.

        Args:
            dimension: length of a vector.
            tiers: the sizes at which it changes how it searches.
            cache: where bases are kept for the next start.
        """
        self.dimension = dimension
        self.version = 0
        self._tiers = tiers or Tiers()
        self._cache = cache or Cache(None, "")
        self._lock = Turns()
        self._entries = Entries()
        self._base: Base | None = None
        # In the order of their numbers; the last takes what is new.
        self._flats = [Flat(dimension)]
        # What was removed since a base was begun, None while none is being made.
        self._removed: list[int] | None = None
        self._rebuild = Rebuild(self._make)
        self._loading = False

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, relation_id: object) -> bool:
        return relation_id in self._entries

    @property
    def tiers(self) -> tuple[str, ...]:
        """What `tier` may be."""
        return EXACT, self._tiers.base.tier

    @property
    def tier(self) -> str:
        """How most relations are searched."""
        base = self._base
        return EXACT if base is None else base.tier

    def put(self, entries: Sequence[Entry], vectors: Vectors, version: int | None = None) -> None:
        """Add relations, each in place of the one of the same id if there is one.

        Args:
            entries: no id twice.
            vectors: shape (entries, dimension), unit norm.
            version: the registry's version that is complete with this.

        Raises:
            ValueError: an id is there twice, or the vectors are not of that shape or not finite.
        """
        self.apply(entries, vectors, [], version)

    def remove(self, relation_id: str, version: int | None = None) -> None:
        """Remove a relation; nothing happens when it is not there."""
        self.apply([], np.empty((0, self.dimension), dtype=np.float32), [relation_id], version)

    def apply(
        self, entries: Sequence[Entry], vectors: Vectors, removed: Collection[str], version: int | None = None
    ) -> None:
        """Do as `put` and `remove` in one step that no search sees half of.

        Raises:
            ValueError: as `put`; then nothing has changed.
        """
        ids = [entry.id for entry in entries]
        if len(set(ids)) < len(ids):
            raise ValueError(f"an id is there twice among {ids[:5]}: give each relation once")
        if vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"vectors of shape {vectors.shape}, expected {(len(entries), self.dimension)}")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector has a number that is not finite")
        with self._lock:
            gone = self._entries.remove({*ids, *removed})
            if gone:
                for segment in self._segments():
                    segment.discard(gone)
                if self._removed is not None:
                    self._removed += gone
            if entries:
                self._flats[-1].add(self._entries.add(entries), vectors)
            if version is not None:
                self.version = version
            due = self._due() and not self._loading
        if due:
            self._rebuild.ask()

    def search(self, vectors: Vectors, searches: Sequence[Search]) -> tuple[int, list[Found]]:
        """Search for several instances in one version of the index.

        Args:
            vectors: shape (searches, dimension), unit norm.
            searches: one for each vector.

        Returns:
            The registry's version that was searched, and what each search found.
        """
        # For the thread that calls: FAISS would otherwise start others, which takes longer than most searches.
        faiss.omp_set_num_threads(1)
        with self._lock.shared():
            return self.version, [self._one(row, search) for row, search in zip(vectors, searches, strict=True)]

    def cached(self) -> Cached | None:
        """The base that was kept for this start, None where there is none that can be used."""
        return self._cache.load(self._tiers.base, self.dimension)

    def restore(self, cached: Cached, relations: Iterable[Sequence[Entry]]) -> bool:
        """Begin with a base that was kept; `apply` has what was written since.

        Args:
            cached: what `cached` gave.
            relations: those of the registry that have not changed since the base's version, each with its stamp.

        Returns:
            Whether the base has all of them. If not, the index is as it was.
        """
        order = np.argsort(cached.stamps)
        ordered = cached.stamps[order]
        entries, alive = Entries(), np.zeros(len(order), dtype=bool)
        for block in relations:
            stamps = np.array([entry.stamp for entry in block], dtype=np.uint64)
            places = np.minimum(np.searchsorted(ordered, stamps), len(order) - 1)
            if not (ordered[places] == stamps).all():
                return False
            entries.put(order[places], block)
            alive[order[places]] = True
        cached.base.discard(np.flatnonzero(~alive).tolist())
        entries.skip(len(order))
        with self._lock:
            self._entries, self._base, self.version = entries, cached.base, cached.version
        return True

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Make no base meanwhile, which would be too small before it was done, and one afterwards if that is due."""
        self._loading = True
        try:
            yield
        finally:
            with self._lock:
                self._loading = False
                due = self._due()
            if due:
                self._rebuild.ask()

    def settle(self) -> None:
        """Wait until no base is being made."""
        self._rebuild.join()

    def close(self) -> None:
        """Give up making a base."""
        self._rebuild.stop()

    def _segments(self) -> list[Segment]:
        return [*([] if self._base is None else [self._base]), *self._flats]

    def _due(self) -> bool:
        return self._tiers.due(self._base, sum(map(len, self._flats)))

    def _one(self, vector: Vectors, search: Search) -> Found:
        among, unknown, unknown_tags = self._entries.among(search)
        if unknown or unknown_tags or search.k == 0:
            return Found([], unknown, unknown_tags)
        scores = [score for segment in self._segments() for score in segment.search(vector, search.k, among)]
        scores.sort(key=lambda score: (-score[0], score[1]))
        return Found([Hit(self._entries[number], cosine) for cosine, number in scores[: search.k]], [])

    def _make(self, stop: threading.Event) -> None:
        """Make a base of all that is there, if that is due, and search it from then on."""
        with self._lock:
            if not self._due():
                return
            base, flats, version = self._base, self._flats.copy(), self.version
            self._flats.append(Flat(self.dimension))
            self._removed = []
            fresh = Source(flats, self.dimension, self._lock, stop)
            whole = Source([*([] if base is None else [base]), *flats], self.dimension, self._lock, stop)
        try:
            made = self._made(base, fresh, whole)
            # Most of it before searches have to wait for the rest.
            made.discard(self._removed.copy())
            with self._lock:
                made.discard(self._removed)
                later = self._flats[len(flats) :]
                if isinstance(made, Flat):
                    self._base, self._flats = None, [made, *later]
                else:
                    self._base, self._flats = made, later
                self._removed = None
        finally:
            self._removed = None
        if not isinstance(made, Flat):
            self._keep(made, version)

    def _made(self, base: Base | None, fresh: Source, whole: Source) -> Base | Flat:
        if len(whole) <= self._tiers.flat_to:
            return whole.flat()
        extended = None if base is None or self._tiers.worn(base) else base.extended(fresh)
        return self._tiers.base.build(whole) if extended is None else extended

    def _keep(self, base: Base, version: int) -> None:
        with self._lock:
            # What is to be replaced at once is not worth writing.
            wanted = self._cache.outgrown(len(base.numbers)) and not self._due()
        if wanted:
            # Without the lock: what a number stands for never changes, and whether it is still there is asked again.
            stamps = [self._entries.stamps(x) for x in np.array_split(base.numbers, len(base.numbers) // BLOCK + 1)]
            self._cache.save(base, np.concatenate(stamps), version)
