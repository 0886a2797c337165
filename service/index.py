"""The index: what of the registry an extraction searches, in memory, exact, and always one version of it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import faiss
import numpy as np
import numpy.typing as npt

from models.text import DescriptionInput

Vectors = npt.NDArray[np.float32]

# A search of some thousand vectors on many threads spends its time on starting them.
faiss.omp_set_num_threads(1)


@dataclass(frozen=True, slots=True)
class Entry:
    """A relation as an extraction needs it, with its description ready for the classifier."""

    id: str
    name: str
    description: DescriptionInput
    version: int
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hit:
    """A recalled relation and the cosine of its description to the instance."""

    entry: Entry
    cosine: float


@dataclass(frozen=True, slots=True)
class Search:
    """One instance's search: how many relations, and what the only ones to consider are, if restricted.

    `restrict` are their ids; `tags` are those of which each has one at least.
    """

    k: int
    restrict: Collection[str] | None = None
    tags: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one search found, best first, and the restricting ids and tags that are not there."""

    hits: list[Hit]
    unknown: list[str]
    unknown_tags: list[str] = field(default_factory=list)


class RelationIndex:
    """Relations by id and by vector. Safe to call from several threads: each call sees and leaves one version."""

    def __init__(self, dimension: int) -> None:
        """An empty index.

        Args:
            dimension: length of a vector.
        """
        self.dimension = dimension
        self.version = 0
        self._lock = threading.Lock()
        self._vectors = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        self._numbers: dict[str, int] = {}
        self._entries: dict[int, Entry] = {}
        self._tagged: dict[str, set[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, relation_id: object) -> bool:
        return relation_id in self._numbers

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
            # FAISS would keep both vectors and answer with either.
            raise ValueError(f"an id is there twice among {ids[:5]}: give each relation once")
        if vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"vectors of shape {vectors.shape}, expected {(len(entries), self.dimension)}")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector has a number that is not finite")
        with self._lock:
            gone = [self._numbers.pop(key) for key in {*ids, *removed} if key in self._numbers]
            if gone:
                self._vectors.remove_ids(faiss.IDSelectorBatch(np.array(gone, dtype=np.int64)))
                for number in gone:
                    for tag in self._entries.pop(number).tags:
                        self._tagged[tag].remove(number)
            if entries:
                numbers = np.arange(self._next, self._next + len(entries), dtype=np.int64)
                self._vectors.add_with_ids(np.ascontiguousarray(vectors), numbers)
                self._next += len(entries)
                self._numbers.update(zip(ids, numbers.tolist(), strict=True))
                self._entries.update(zip(numbers.tolist(), entries, strict=True))
                for number, entry in zip(numbers.tolist(), entries, strict=True):
                    for tag in entry.tags:
                        self._tagged.setdefault(tag, set()).add(number)
            if version is not None:
                self.version = version

    def search(self, vectors: Vectors, searches: Sequence[Search]) -> tuple[int, list[Found]]:
        """Search for several instances in one version of the index.

        Args:
            vectors: shape (searches, dimension), unit norm.
            searches: one for each vector.

        Returns:
            The registry's version that was searched, and what each search found.
        """
        with self._lock:
            return self.version, [self._one(row, search) for row, search in zip(vectors, searches, strict=True)]

    def _one(self, vector: Vectors, search: Search) -> Found:
        numbers, unknown, unknown_tags = None, [], []
        if search.restrict is not None:
            numbers = [self._numbers[key] for key in search.restrict if key in self._numbers]
            unknown = [key for key in search.restrict if key not in self._numbers]
        if search.tags is not None:
            unknown_tags = [tag for tag in search.tags if not self._tagged.get(tag)]
            tagged = {number for tag in search.tags for number in self._tagged.get(tag, ())}
            numbers = sorted(tagged if numbers is None else tagged.intersection(numbers))
        k = min(search.k, len(self._entries) if numbers is None else len(numbers))
        if k == 0 or unknown or unknown_tags:
            return Found([], unknown, unknown_tags)
        params = None
        if numbers is not None:
            selector = faiss.IDSelectorBatch(np.array(numbers, dtype=np.int64))
            params = faiss.SearchParameters()
            params.sel = selector
        # One vector a call: FAISS multiplies larger batches in another order of additions, and a cosine must
        # not depend on who shares the batch.
        cosines, found = self._vectors.search(vector[None], k, params=params)
        return Found(
            [Hit(self._entries[n], float(c)) for n, c in zip(found[0].tolist(), cosines[0], strict=True) if n >= 0], []
        )
