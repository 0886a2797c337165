"""What a search is restricted to."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.index.segment import Integers


@dataclass(frozen=True, slots=True)
class Among:
    """The only relations that a search considers: those of any group.

    Attributes:
        groups: numbers by the tag that all of these have, and under None those that were named one by one.
    """

    groups: Mapping[str | None, Set[int]]

    def __len__(self) -> int:
        """How many there are; one of several groups counts as often."""
        return sum(map(len, self.groups.values()))

    def numbers(self) -> Integers:
        """All of them, in rising order."""
        return np.array(sorted(set().union(*self.groups.values())), dtype=np.int64)

    def has(self, numbers: Integers) -> npt.NDArray[np.bool_]:
        """Of each number whether it is one of them.

        >>> Among({"geography": {2, 5}, None: {7}}).has(np.array([1, 2, 7])).tolist()
        [False, True, True]
        """
        found = np.zeros(len(numbers), dtype=bool)
        wanted = numbers.tolist()
        for group in self.groups.values():
            found |= np.fromiter(map(group.__contains__, wanted), dtype=bool, count=len(wanted))
        return found
