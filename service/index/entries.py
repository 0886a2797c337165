"""The relations of the index by number, id and tag, in little memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np

from service.index.among import Among
from service.index.entry import Entry, Search
from service.index.segment import Integers, Stamps


class Entries:
    """Relations, each under a number that no other ever had."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        # Tuples of texts and integers, which the garbage collector, unlike objects of a class, does not go through.
        self._rows: dict[int, tuple[str, str, str, int, tuple[str, ...], int]] = {}
        self._tagged: dict[str, set[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, relation_id: object) -> bool:
        return relation_id in self._numbers

    def __getitem__(self, number: int) -> Entry:
        return Entry(*self._rows[number])

    def add(self, entries: Sequence[Entry]) -> Integers:
        """Take relations, of which none is here; their numbers, in order."""
        numbers = np.arange(self._next, self._next + len(entries), dtype=np.int64)
        self.put(numbers, entries)
        return numbers

    def put(self, numbers: Integers, entries: Sequence[Entry]) -> None:
        """Take relations, of which none is here, under numbers that none had; what `add` gives is larger."""
        for number, entry in zip(numbers.tolist(), entries, strict=True):
            tags = tuple(map(sys.intern, entry.tags))
            self._numbers[entry.id] = number
            self._rows[number] = (entry.id, entry.name, entry.description, entry.version, tags, entry.stamp)
            for tag in tags:
                self._tagged.setdefault(tag, set()).add(number)
            self._next = max(self._next, number + 1)

    def remove(self, ids: Iterable[str]) -> list[int]:
        """Forget those that are here; their numbers."""
        gone = [self._numbers.pop(key) for key in ids if key in self._numbers]
        for number in gone:
            for tag in self._rows.pop(number)[4]:
                self._tagged[tag].discard(number)
        return gone

    def skip(self, count: int) -> None:
        """Give none of the first so many numbers from now on."""
        self._next = max(self._next, count)

    def stamps(self, numbers: Integers) -> Stamps:
        """The stamps of relations by number, 0 for those that are not here."""
        none: Sequence[Any] = (0,)
        return np.array([self._rows.get(number, none)[-1] for number in numbers.tolist()], dtype=np.uint64)

    def among(self, search: Search) -> tuple[Among | None, list[str], list[str]]:
        """What a search is restricted to, None where it is not; of use until the next change.

        Returns:
            That, and the restricting ids and tags that are not there.
        """
        if search.restrict is None and search.tags is None:
            return None, [], []
        groups: dict[str | None, Set[int]] = {}
        unknown, unknown_tags = [], []
        if search.tags is not None:
            unknown_tags = [tag for tag in search.tags if not self._tagged.get(tag)]
            groups = {tag: self._tagged.get(tag, set()) for tag in search.tags}
        if search.restrict is not None:
            unknown = [key for key in search.restrict if key not in self._numbers]
            known = {self._numbers[key] for key in search.restrict if key in self._numbers}
            if search.tags is not None:
                known = {number for number in known if any(number in group for group in groups.values())}
            groups = {None: known}
        return Among(groups), unknown, unknown_tags
