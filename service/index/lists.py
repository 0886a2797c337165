"""The tier for many relations: inverted lists of shortened vectors in 8 bits, and an exact look at what they give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from service.index.kept import Bits, Kept, filled, halved
from service.index.segment import Integers, Vectors
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

WIDENED = 0.25
"""Power of how many times fewer a search considers than there are, by which it goes through more lists: the nearest of
few lie in more of them, and most of what lies there is passed over. The root of the root finds as many as a search
among all, in about the time of one."""

OUTGROWN = 2
"""How many times as many lists a base built anew may have: its own have grown too long by then."""

# Its stubs know neither the parameters' keywords nor that selectors take arrays.
_faiss: Any = faiss


class Lists(Kept):
    """An inverted file over shortened vectors, and all vectors in half precision."""

    tier = "IVF, SQ8"

    def __init__(self, lists: Any, exact: Any, numbers: Integers) -> None:
        """Take the parts.

        Args:
            lists: an inverted file behind the transform that shortens.
            exact: the vectors themselves.
            numbers: of each row of both, rising.
        """
        super().__init__(exact, numbers)
        self._lists = lists
        self._count = faiss.extract_index_ivf(lists).nlist

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
        exact = halved(dimension)
        return cls(lists, exact, filled(source, lists, exact))

    def extended(self, source: Source) -> Self | None:
        """See `Base`."""
        if _lists(len(self._numbers) + len(source)) > OUTGROWN * self._count:
            return None
        lists, exact = faiss.clone_index(self._lists), faiss.clone_index(self._exact)
        copy = type(self)(lists, exact, np.concatenate([self._numbers, filled(source, lists, exact)]))
        copy.discard(self._numbers[~self._alive].tolist())
        return copy

    def parts(self) -> tuple[faiss.Index, faiss.Index]:
        """The lists, and the vectors themselves."""
        return self._lists, self._exact

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

    def _near(self, vector: Vectors, k: int, possible: int, bits: Bits | None) -> Integers:
        """See `Kept`; if need be, all lists are searched."""
        wanted = min(LOOKED_AT * k, possible)
        probes = min(math.ceil(PROBES * (len(self._numbers) / possible) ** WIDENED), self._count)
        selector = None if bits is None else _faiss.IDSelectorBitmap(bits)
        while True:
            params = _faiss.SearchParametersIVF(nprobe=probes, sel=selector)
            _, found = self._lists.search(
                vector[None], wanted, params=_faiss.SearchParametersPreTransform(index_params=params)
            )
            rows: Integers = found[0][found[0] >= 0]
            if len(rows) == wanted or probes == self._count:
                return rows
            probes = min(4 * probes, self._count)


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
