"""The tier for many relations: inverted lists of shortened vectors in 8 bits, and an exact look at what they give."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from service.index.among import Among
from service.index.bitmaps import Bitmaps, packed
from service.index.segment import Base, Integers, Scores, Vectors, places
from service.index.source import Source

SHORTENED = 6
"""How many times shorter the vectors in the lists are: with a sixth of the dimensions, those in which descriptions
differ most, the lists are made and searched faster, and lose less than what the exact look makes good. What is not
found lies in lists that were not searched: more of these in the same time find more than longer vectors do."""

SHORTEST = 64
"""Dimensions that are not shortened further."""

LISTS = 2
"""Lists, times the root of the number of vectors."""

TRAINED_ON = 64
"""Vectors of each list by which its centre is found; fewer than 39 FAISS calls too few."""

MOMENTS_OF = 20_000
"""Vectors by which the dimensions that are kept are found."""

PROBES = 256
"""Lists that are searched at first, of all relations."""

LOOKED_AT = 16
"""How many times k vectors of the lists are compared exactly."""

COMPARED = 1_000
"""Of so few vectors, each is compared instead of searching for them."""

WIDENED = 0.25
"""Power of how many times fewer a search considers than there are, by which it goes through more lists: the nearest of
few lie in more of them, and most of what lies there is passed over. The root of the root finds as many as a search
among all, in about the time of one."""

OUTGROWN = 2
"""How many times as many lists a base built anew may have: its own have grown too long by then."""

# Its stubs know neither the parameters' keywords nor that selectors take arrays.
_faiss: Any = faiss


class Lists(Base):
    """An inverted file over shortened vectors, and all vectors in half precision."""

    tier = "IVF, SQ8"

    def __init__(self, lists: Any, exact: Any, numbers: Integers) -> None:
        """Take the parts.

        Args:
            lists: an inverted file behind the transform that shortens.
            exact: the vectors themselves.
            numbers: of each row of both, rising.
        """
        self.dimension = exact.d
        self._lists, self._exact = lists, exact
        self._count = faiss.extract_index_ivf(lists).nlist
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

    @classmethod
    def build(cls, source: Source) -> Self:
        """See `Base`."""
        dimension, count = source.dimension, _lists(len(source))
        sample = source.sample(max(TRAINED_ON * count, 2 * dimension))
        short = min(dimension, max(SHORTEST, dimension // SHORTENED))
        shorten = _shortening(sample, short)
        inverted = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(short), short, count, _faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        inverted.cp.min_points_per_centroid = 1
        inverted.train(shorten.apply(sample))
        lists = faiss.IndexPreTransform(shorten, inverted)
        exact = faiss.IndexScalarQuantizer(dimension, _faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        return cls(lists, exact, _filled(lists, exact, source))

    def extended(self, source: Source) -> Self | None:
        """See `Base`."""
        if _lists(len(self._numbers) + len(source)) > OUTGROWN * self._count:
            return None
        lists, exact = faiss.clone_index(self._lists), faiss.clone_index(self._exact)
        copy = type(self)(lists, exact, np.concatenate([self._numbers, _filled(lists, exact, source)]))
        copy.discard(self._numbers[~self._alive].tolist())
        return copy

    def parts(self) -> tuple[faiss.Index, faiss.Index]:
        """The lists, and the vectors themselves."""
        return self._lists, self._exact

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
        possible, selector = self._live, None
        if among is not None:
            if len(among) <= COMPARED:
                return self._best(self._rows(among.numbers()), vector, k)
            bits = self._bits & self._tagged.of(among)
            possible = int(np.bitwise_count(bits).sum())
            selector = _faiss.IDSelectorBitmap(bits)
        elif self.dead:
            selector = _faiss.IDSelectorBitmap(self._bits)
        if possible == 0:
            return []
        probes = math.ceil(PROBES * (len(self._numbers) / possible) ** WIDENED)
        return self._best(self._near(vector, min(LOOKED_AT * k, possible), probes, selector), vector, k)

    def read(self, numbers: Integers) -> tuple[Integers, Vectors]:
        """See `Segment`."""
        rows = self._rows(numbers)
        return self._numbers[rows], self._vectors(rows)

    def save(self, path: Path) -> None:
        """See `Base`."""
        writer = faiss.FileIOWriter(str(path))
        faiss.write_index(self._lists, writer)
        faiss.write_index(self._exact, writer)

    @classmethod
    def load(cls, path: Path) -> Self:
        """See `Base`."""
        reader = faiss.FileIOReader(str(path))
        lists, exact = faiss.read_index(reader), faiss.read_index(reader)
        if (lists.d, lists.ntotal) != (exact.d, exact.ntotal):
            raise ValueError(f"the lists have {lists.ntotal} vectors, {exact.ntotal} are kept exactly")
        return cls(lists, exact, np.arange(exact.ntotal, dtype=np.int64))

    def _near(self, vector: Vectors, count: int, probes: int, selector: Any) -> Integers:
        """Rows that the lists hold for the nearest, as many as are wanted: if need be, all lists are searched."""
        probes = min(probes, self._count)
        while True:
            params = _faiss.SearchParametersIVF(nprobe=probes, sel=selector)
            _, found = self._lists.search(
                vector[None], count, params=_faiss.SearchParametersPreTransform(index_params=params)
            )
            rows: Integers = found[0][found[0] >= 0]
            if len(rows) == count or probes == self._count:
                return rows
            probes = min(4 * probes, self._count)

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


def _shortening(sample: Vectors, short: int) -> Any:
    """The projection onto the directions of the largest second moments.

    FAISS's own takes the mean off first, which would change the order of inner products.
    """
    few = sample[:: max(1, len(sample) // MOMENTS_OF)]
    _, directions = np.linalg.eigh(few.T @ few)
    transform = faiss.LinearTransform(sample.shape[1], short, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(directions.T[::-1][:short]).ravel(), transform.A)
    transform.is_trained = True
    return transform


def _lists(vectors: int) -> int:
    return max(1, min(round(LISTS * math.sqrt(vectors)), vectors // TRAINED_ON))


def _filled(lists: Any, exact: Any, source: Source) -> Integers:
    """Add the vectors of a source to both; their numbers."""
    numbers = [np.empty(0, dtype=np.int64)]
    for block, vectors in source.blocks():
        lists.add(vectors)
        exact.add(vectors)
        numbers.append(block)
    return np.concatenate(numbers)
