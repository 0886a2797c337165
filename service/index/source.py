"""What a base is built from while the index goes on changing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from service.index.flat import Flat
from service.index.segment import Integers, Segment, Vectors
from service.index.turns import Turns

BLOCK = 1_000
"""Vectors that are copied while changes wait: about a millisecond's worth."""


class StoppedError(Exception):
    """The index is being closed."""


class Source:
    """The vectors of some segments, as many of them as can still be found when they are read.

    Attributes:
        dimension: length of a vector.
    """

    def __init__(self, segments: Sequence[Segment], dimension: int, lock: Turns, stop: threading.Event) -> None:
        """To be made while nobody else uses the segments.

        Args:
            segments: to be read, in the order of their numbers.
            dimension: length of a vector.
            lock: shared while something of them is copied.
            stop: once it is set, nothing more is read.
        """
        self.dimension = dimension
        self._parts = [(segment, segment.live()) for segment in segments]
        self._lock = lock
        self._stop = stop

    def __len__(self) -> int:
        return sum(len(numbers) for _, numbers in self._parts)

    def sample(self, most: int) -> Vectors:
        """Vectors at even distances, about as many, or all; raises `StoppedError`."""
        step = max(1, len(self) // most)
        parts = [(segment, numbers[::step]) for segment, numbers in self._parts]
        # Filled by and by: to join them at once would hold up every thread while hundreds of megabytes are copied.
        sampled = np.empty((sum(len(numbers) for _, numbers in parts), self.dimension), dtype=np.float32)
        filled = 0
        for _, vectors in self._read(parts):
            sampled[filled : filled + len(vectors)] = vectors
            filled += len(vectors)
        return sampled[:filled]

    def blocks(self) -> Iterator[tuple[Integers, Vectors]]:
        """All numbers in rising order with their vectors, some at once; raises `StoppedError`."""
        return self._read(self._parts)

    def flat(self) -> Flat:
        """All of them, to be compared exactly; raises `StoppedError`."""
        flat = Flat(self.dimension)
        for numbers, vectors in self.blocks():
            flat.add(numbers, vectors)
        return flat

    def _read(self, parts: Sequence[tuple[Segment, Integers]]) -> Iterator[tuple[Integers, Vectors]]:
        for segment, numbers in parts:
            for start in range(0, len(numbers), BLOCK):
                if self._stop.is_set():
                    raise StoppedError
                with self._lock.shared():
                    block = segment.read(numbers[start : start + BLOCK])
                yield block
