"""Which rows of a base have a tag, written down once."""

from __future__ import annotations

import threading
from collections.abc import Set
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from service.index.among import Among
from service.index.segment import Integers, places

Bits: TypeAlias = npt.NDArray[np.uint8]
"""One for each row, the least first, as FAISS takes them."""

KEPT_BYTES = 32 * 1024 * 1024
"""Of the tags that were asked for last: at a million relations, some 260 of them."""


def packed(rows: npt.NDArray[np.bool_]) -> Bits:
    """Bits of rows.

    >>> packed(np.array([True, False, True])).tolist()
    [5]
    """
    return np.packbits(rows, bitorder="little")


class Bitmaps:
    """The rows of each tag. Safe to call from several threads.

    What is kept stays right: a number that gets a tag is a new one, and a base takes no new numbers; one that loses a
    tag is found no more, and whoever asks leaves out what is not.
    """

    def __init__(self, numbers: Integers) -> None:
        """Nothing is written down yet.

        Args:
            numbers: of each row, rising.
        """
        self._numbers = numbers
        self._kept: LRUCache[str, Bits] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._lock = threading.Lock()

    def of(self, among: Among) -> Bits:
        """The rows that a search is restricted to, and perhaps some that cannot be found any more; the caller's own."""
        chosen = np.zeros(-(-len(self._numbers) // 8), dtype=np.uint8)
        for tag, group in among.groups.items():
            chosen |= self._made(group) if tag is None else self._of_tag(tag, group)
        return chosen

    def _of_tag(self, tag: str, group: Set[int]) -> Bits:
        with self._lock:
            bits = self._kept.get(tag)
        if bits is None:
            bits = self._made(group)
            with self._lock:
                if len(bits) <= self._kept.maxsize:
                    self._kept[tag] = bits
        return bits

    def _made(self, group: Set[int]) -> Bits:
        # Sorted, because to look for so many in any order takes longer.
        numbers = np.sort(np.fromiter(group, dtype=np.int64, count=len(group)))
        chosen = np.zeros(len(self._numbers), dtype=bool)
        chosen[places(self._numbers, numbers)] = True
        return packed(chosen)
