"""Segments: vectors that are searched together. The index is several of them, and this is all it knows of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from service.index.among import Among
    from service.index.source import Source

Vectors: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]

Stamps: TypeAlias = npt.NDArray[np.uint64]
"""Of relations, each telling a content of an id from every other."""

Scores: TypeAlias = list[tuple[float, int]]
"""Cosines and numbers, best first."""


def places(ordered: Integers, wanted: Integers) -> Integers:
    """Where those of the wanted numbers are that are among the ordered ones.

    >>> places(np.array([2, 3, 5]), np.array([5, 4, 2])).tolist()
    [2, 0]
    """
    found = np.searchsorted(ordered, wanted)
    here: npt.NDArray[np.bool_] = np.append(ordered, -1)[found] == wanted
    return np.asarray(found[here], dtype=np.int64)


class Segment(ABC):
    """Unit vectors by number. A number is given once and never again, and later ones are larger.

    Calls must not overlap, but for those that only read.
    """

    dimension: int

    @abstractmethod
    def __len__(self) -> int:
        """Vectors that can be found."""

    @abstractmethod
    def live(self) -> Integers:
        """Numbers that can be found, the smallest first."""

    @abstractmethod
    def discard(self, numbers: Iterable[int]) -> None:
        """Let vectors not be found from now on; numbers that are not here are passed over."""

    @abstractmethod
    def search(self, vector: Vectors, k: int, among: Among | None = None) -> Scores:
        """The k nearest, or all where there are fewer.

        Args:
            vector: shape (dimension,), unit norm.
            k: at least 1.
            among: the only numbers to consider; those that are not here are passed over.
        """

    @abstractmethod
    def read(self, numbers: Integers) -> tuple[Integers, Vectors]:
        """Those of the numbers that can be found, and their vectors: shape (numbers, dimension)."""


class Base(Segment):
    """A segment for many vectors, which takes no new ones: a tier is a class of this kind, and its line in `tiers`."""

    tier: ClassVar[str]
    """What `/info` calls it."""

    @property
    @abstractmethod
    def dead(self) -> int:
        """Vectors that take up room and cannot be found any more."""

    @property
    @abstractmethod
    def numbers(self) -> Integers:
        """Of all vectors, in the order in which they are saved."""

    @classmethod
    @abstractmethod
    def build(cls, source: Source) -> Self:
        """One of the vectors of a source, of which there is one at least; raises what the source raises."""

    @abstractmethod
    def extended(self, source: Source) -> Self | None:
        """A copy with further vectors, whose numbers are larger than all here; None where it is better built anew."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write it to a file; raises `RuntimeError` or `OSError`."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote, with the numbers from 0 on in their order; raises `RuntimeError` or `ValueError`."""
