"""The tier for many relations where there is a GPU: every vector is compared there, in half precision."""

from __future__ import annotations

import math
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from service.index.kept import Bits, Kept, filled, halved
from service.index.segment import Integers, Vectors
from service.index.source import Source

AT_ONCE = 2_048
"""Most vectors that FAISS gives of one search on a GPU."""

SPARE = 2
"""How many times k are asked for: of those that are as near, the GPU gives any."""

# Its stubs know neither GPUs nor that selectors take arrays.
_faiss: Any = faiss


def available() -> bool:
    """Whether FAISS is a build for GPUs, and there is one."""
    return bool(_faiss.get_num_gpus())


class Owner:
    """The one thread that touches the GPU: FAISS's indexes there are not for several, not even to be read."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu-index")
        self._keys = count()
        self._resources: Any = None
        self._held: dict[int, Any] = {}

    def take(self, exact: Any) -> int:
        """Copy an index to the GPU; the key by which it is searched there. Raises `RuntimeError` if it has no room."""
        return self._thread.submit(self._take, exact).result()

    def search(self, key: int, vector: Vectors, most: int) -> Integers:
        """Rows of the nearest, best first."""
        return self._thread.submit(self._search, key, vector, most).result()

    def drop(self, key: int) -> None:
        """Free what was taken, when all searches before are through."""
        self._thread.submit(self._held.pop, key)

    def _take(self, exact: Any) -> int:
        key = next(self._keys)
        self._held[key] = self._placed(exact)
        return key

    def _placed(self, exact: Any) -> Any:
        if self._resources is None:
            self._resources = _faiss.StandardGpuResources()
        # Vectors in half precision stay so.
        return _faiss.index_cpu_to_gpu(self._resources, 0, exact)

    def _search(self, key: int, vector: Vectors, most: int) -> Integers:
        _, rows = self._held[key].search(vector[None], most)
        found: Integers = rows[0][rows[0] >= 0]
        return found


OWNER = Owner()


class Gpu(Kept):
    """All vectors on the GPU, and in memory for what it cannot do: to be read, saved and searched among few."""

    tier = "flat, fp16, GPU"

    def __init__(self, exact: Any, numbers: Integers) -> None:
        """Take the vectors, in half precision, and copy them to the GPU."""
        super().__init__(exact, numbers)
        self._key = OWNER.take(exact)
        # At the end of the process the thread is gone before, and the GPU's memory with it.
        weakref.finalize(self, OWNER.drop, self._key).atexit = False

    @classmethod
    def build(cls, source: Source) -> Self:
        """See `Base`."""
        exact = halved(source.dimension)
        return cls(exact, filled(source, exact))

    def extended(self, source: Source) -> Self | None:
        """See `Base`."""
        exact = faiss.clone_index(self._exact)
        copy = type(self)(exact, np.concatenate([self._numbers, filled(source, exact)]))
        copy.discard(self._numbers[~self._alive].tolist())
        return copy

    def save(self, path: Path) -> None:
        """See `Base`."""
        faiss.write_index(self._exact, str(path))

    @classmethod
    def load(cls, path: Path) -> Self:
        """See `Base`."""
        exact = faiss.read_index(str(path))
        return cls(exact, np.arange(exact.ntotal, dtype=np.int64))

    def _near(self, vector: Vectors, k: int, possible: int, bits: Bits | None) -> Integers:
        total = len(self._numbers)
        wanted = min(SPARE * k, possible)
        # A GPU knows no selection, so as many are asked for as have the wanted ones among them, and more if it fails.
        most = wanted if bits is None else min(total, 2 * math.ceil(wanted * total / possible))
        while most <= AT_ONCE:
            rows = OWNER.search(self._key, vector, most)
            if bits is not None:
                rows = rows[_chosen(bits, rows)]
            if len(rows) >= wanted:
                return rows[:wanted]
            most = min(total, 4 * most) if most < total else AT_ONCE + 1
        params = None if bits is None else _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(bits))
        _, found = self._exact.search(vector[None], wanted, params=params)
        there: Integers = found[0][found[0] >= 0]
        return there


def _chosen(bits: Bits, rows: Integers) -> Any:
    return (bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 == 1
