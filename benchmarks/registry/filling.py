"""Relations for a registry of any size, with vectors that lie as those of real descriptions do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.chunks import Vectors
from models.relation import Relation
from service.registry import Draft

SEED = 0
BATCH = 1_000
"""Relations that are drawn, and registered, at once."""

NEAREST = 10
STEP = 0.8
"""How far from a known description the others lie, in steps from one to one of its nearest: the nearest of each is then
about as near as it is among the known."""

HALF, HUNDREDTH = "half", "hundredth"
"""Tags that as many relations have."""

_BEARERS = {HALF: (2, 1), HUNDREDTH: (100, 0)}
"""Of each tag, which remainder on division by which number those that have it leave."""


class Crowd:
    """Real descriptions, and as many others around them as are wanted."""

    def __init__(self, known: Sequence[Relation], vectors: Vectors) -> None:
        """Take what is known.

        Args:
            known: relations that were described by people, more than ten.
            vectors: of their descriptions, unit norm, shape (known, dimension).
        """
        self.known = known
        self.vectors = vectors
        self._near = np.concatenate([_nearest(vectors, start) for start in range(0, len(vectors), BATCH)])

    def drafts(self, count: int, first: int = 0) -> Iterator[list[Draft]]:
        """As many relations from a number on, `BATCH` at once; the same each time, if the numbers are."""
        for start in range(first, first + count, BATCH):
            numbers = range(start, min(start + BATCH, first + count))
            yield [Draft(self._relation(n), False, v) for n, v in zip(numbers, self.drawn(numbers), strict=True)]

    def drawn(self, numbers: range) -> Vectors:
        """Unit vectors (numbers, dimension): a known one, and a step as one goes from another to one of its nearest.

        Noise would go in all directions alike, which descriptions do not. Where few are known, some come twice.
        """
        draw = np.random.default_rng((SEED, numbers.start))
        here, there = draw.integers(len(self.vectors), size=(2, len(numbers)))
        beyond = self._near[there, draw.integers(NEAREST, size=len(numbers))]
        moved = self.vectors[here] + STEP * (self.vectors[there] - self.vectors[beyond])
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)

    def _relation(self, number: int) -> Relation:
        like = self.known[number % len(self.known)]
        tags = tuple(tag for tag in _BEARERS if number in bearers(tag, range(number, number + 1)))
        return replace(like, id=f"{like.id}.{number}", name=f"{like.name} {number}", paraphrases=(), tags=tags)


def bearers(tag: str | None, numbers: range) -> range:
    """Those of the numbered relations that have a tag; all of them for none.

    >>> bearers(HUNDREDTH, range(50, 250))
    range(100, 250, 100)
    """
    step, rest = _BEARERS[tag] if tag is not None else (1, 0)
    return range(numbers.start + (rest - numbers.start) % step, numbers.stop, step)


def _nearest(vectors: Vectors, start: int) -> npt.NDArray[np.int64]:
    cosines = vectors[start : start + BATCH] @ vectors.T
    rows = np.arange(len(cosines))
    cosines[rows, start + rows] = -np.inf
    found: npt.NDArray[np.int64] = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
    return found
