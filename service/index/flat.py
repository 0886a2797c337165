"""The exact segment: every vector is compared. It alone takes new vectors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import faiss
import numpy as np

from service.index.among import Among
from service.index.bitmaps import packed
from service.index.segment import Integers, Scores, Segment, Vectors

# Its stubs know neither the parameters' keywords nor that selectors take arrays.
_faiss: Any = faiss


class Flat(Segment):
    """Vectors in full precision; what is discarded leaves its room to others."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._index = faiss.IndexFlatIP(dimension)
        self._numbers = array("q")
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def live(self) -> Integers:
        """See `Segment`."""
        return np.sort(np.array(self._numbers, dtype=np.int64))

    def add(self, numbers: Integers, vectors: Vectors) -> None:
        """Take vectors (numbers, dimension), whose numbers are larger than all before."""
        self._rows.update(zip(numbers.tolist(), range(len(self), len(self) + len(numbers)), strict=True))
        self._numbers.extend(numbers.tolist())
        self._index.add(np.ascontiguousarray(vectors))

    def discard(self, numbers: Iterable[int]) -> None:
        """See `Segment`."""
        gone = [number for number in numbers if number in self._rows]
        if not gone:
            return
        held = self._held()
        for number in gone:
            # The last one takes its place: to move all that follow would take the longer the more there are.
            row, last = self._rows.pop(number), self._numbers.pop()
            if last != number:
                held[row] = held[len(self._numbers)]
                self._numbers[row], self._rows[last] = last, row
        self._index.remove_ids(faiss.IDSelectorRange(len(self), self._index.ntotal))

    def search(self, vector: Vectors, k: int, among: Among | None = None) -> Scores:
        """See `Segment`."""
        params = None
        possible = len(self)
        if among is not None:
            rows = among.has(np.array(self._numbers, dtype=np.int64))
            possible = int(np.count_nonzero(rows))
            params = _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(packed(rows)))
        if possible == 0:
            return []
        found = self._nearest(vector, min(k + 1, possible), params)
        if len(found) > k and found[k - 1][0] == found[k][0]:
            # FAISS gives any of those that are as near; which ones must not depend on k, or on where they lie.
            found = self._nearest(vector, possible, params)
        return found[:k]

    def read(self, numbers: Integers) -> tuple[Integers, Vectors]:
        """See `Segment`."""
        here = [number for number in numbers.tolist() if number in self._rows]
        return np.array(here, dtype=np.int64), self._held()[[self._rows[number] for number in here]]

    def _nearest(self, vector: Vectors, count: int, params: faiss.SearchParameters | None) -> Scores:
        """Best first, and of those that are as near the first by number."""
        cosines, rows = self._index.search(vector[None], count, params=params)
        scores = [(c, self._numbers[row]) for c, row in zip(cosines[0].tolist(), rows[0].tolist(), strict=True)]
        return sorted(scores, key=lambda score: (-score[0], score[1]))

    def _held(self) -> Vectors:
        # Where they lie: for this call only, because the next vector that is added may move them.
        held: Vectors = faiss.rev_swig_ptr(self._index.get_xb(), self._index.ntotal * self.dimension)
        return held.reshape(self._index.ntotal, self.dimension)
