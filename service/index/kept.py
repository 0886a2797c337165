"""What the tiers for many relations have in common: all vectors in half precision, and which of them can be found."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from service.index.among import Among
from service.index.bitmaps import Bitmaps, packed
from service.index.segment import Base, Integers, Scores, Vectors, places
from service.index.source import Source

COMPARED = 1_000
"""Of so few vectors, each is compared instead of searching for them."""

Bits = npt.NDArray[np.uint8]
"""One bit for each row, as FAISS reads them."""

# Its stubs do not know the quantizer's kinds.
_faiss: Any = faiss


class Kept(Base):
    """A base that looks exactly at the vectors of some rows, which a tier finds in its own way."""

    def __init__(self, exact: Any, numbers: Integers) -> None:
        """Take the vectors, and the number of each row, rising."""
        self.dimension = exact.d
        self._exact = exact
        self._numbers = numbers
        self._alive = np.ones(len(numbers), dtype=bool)
        self._live = len(numbers)
        self._bits = packed(self._alive)
        self._tagged = Bitmaps(numbers)

    def __len__(self) -> int:
        return self._live

    @property
    def dead(self) -> int:
        """See `Base`."""
        return len(self._numbers) - self._live

    @property
    def numbers(self) -> Integers:
        """See `Base`."""
        return self._numbers

    def live(self) -> Integers:
        """See `Segment`."""
        return self._numbers[self._alive]

    def discard(self, numbers: Iterable[int]) -> None:
        """See `Segment`."""
        wanted = np.fromiter(numbers, dtype=np.int64)
        rows = places(self._numbers, wanted)
        if len(rows):
            self._alive[rows] = False
            self._live = int(np.count_nonzero(self._alive))
            self._bits = packed(self._alive)

    def search(self, vector: Vectors, k: int, among: Among | None = None) -> Scores:
        """See `Segment`."""
        possible, bits = self._live, self._bits if self.dead else None
        if among is not None:
            if len(among) <= COMPARED:
                return self._best(self._rows(among.numbers()), vector, k)
            bits = self._bits & self._tagged.of(among)
            possible = int(np.bitwise_count(bits).sum())
        if possible == 0:
            return []
        return self._best(self._near(vector, k, possible, bits), vector, k)

    def read(self, numbers: Integers) -> tuple[Integers, Vectors]:
        """See `Segment`."""
        rows = self._rows(numbers)
        return self._numbers[rows], self._vectors(rows)

    @abstractmethod
    def _near(self, vector: Vectors, k: int, possible: int, bits: Bits | None) -> Integers:
        """Rows among which the k nearest are, or all that are possible where there are fewer.

        Args:
            vector: shape (dimension,), unit norm.
            k: at least 1.
            possible: rows that may be found, at least 1.
            bits: which these are; None where all may.
        """

    def _best(self, rows: Integers, vector: Vectors, k: int) -> Scores:
        """Of some rows the k nearest by all of their dimensions."""
        cosines = np.einsum("rd,d->r", self._vectors(rows), vector)
        order = np.lexsort((rows, -cosines))[:k]
        return list(zip(cosines[order].tolist(), self._numbers[rows[order]].tolist(), strict=True))

    def _rows(self, numbers: Integers) -> Integers:
        """Those of the numbers that can be found."""
        rows = places(self._numbers, numbers)
        return rows[self._alive[rows]]

    def _vectors(self, rows: Integers) -> Vectors:
        if len(rows) == 0:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors: npt.NDArray[np.float32] = self._exact.reconstruct_batch(rows)
        return vectors


def halved(dimension: int) -> Any:
    """Room for vectors in half precision."""
    return faiss.IndexScalarQuantizer(dimension, _faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def filled(source: Source, *indexes: Any) -> Integers:
    """Add the vectors of a source to each index; their numbers."""
    numbers = [np.empty(0, dtype=np.int64)]
    for block, vectors in source.blocks():
        for index in indexes:
            index.add(vectors)
        numbers.append(block)
    return np.concatenate(numbers)
