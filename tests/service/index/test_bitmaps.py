from __future__ import annotations

from collections.abc import Iterator, Set

import numpy as np
import pytest

from service.index import bitmaps as module
from service.index.among import Among
from service.index.bitmaps import Bitmaps

NUMBERS = np.array([3, 4, 6, 10, 11, 12, 13, 20, 21, 30], dtype=np.int64)
"""Of more rows than a byte has bits."""


class Watched(set[int]):
    """Counts how often it is gone through."""

    reads = 0

    def __iter__(self) -> Iterator[int]:
        self.reads += 1
        return super().__iter__()


def numbers(bitmaps: Bitmaps, **tags: Set[int]) -> list[int]:
    groups: dict[str | None, Set[int]] = {tag: group for tag, group in tags.items()}
    bits = np.unpackbits(bitmaps.of(Among(groups)), axis=0, count=len(NUMBERS), bitorder="little")
    return [*map(int, NUMBERS[bits == 1])]


def test_the_rows_of_a_tag_are_those_of_its_numbers_that_are_there() -> None:
    assert numbers(Bitmaps(NUMBERS), x={3, 5, 11, 30, 99}) == [3, 11, 30]


def test_the_rows_of_several_tags_are_those_of_any() -> None:
    assert numbers(Bitmaps(NUMBERS), x={3, 11}, y={11, 21}) == [3, 11, 21]


def test_a_tag_is_written_down_once() -> None:
    bitmaps, tag = Bitmaps(NUMBERS), Watched({3, 11})
    for _ in range(3):
        assert numbers(bitmaps, x=tag) == [3, 11]
    assert tag.reads == 1


def test_what_is_asked_for_changes_nothing_that_is_kept() -> None:
    bitmaps = Bitmaps(NUMBERS)
    bitmaps.of(Among({"x": {3}}))[:] = 255
    assert numbers(bitmaps, x={3}) == [3]


def test_numbers_that_were_named_one_by_one_are_not_kept() -> None:
    bitmaps = Bitmaps(NUMBERS)
    for named in ({3}, {4}):
        assert numbers(bitmaps) == []
        bits = bitmaps.of(Among({None: named}))
        assert bits.tolist() == [1 << (named.pop() - 3), 0]


def test_no_more_is_kept_than_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 4)
    bitmaps, tags = Bitmaps(NUMBERS), [Watched({n}) for n in (3, 4, 6)]
    for name, tag in zip("xyz", tags, strict=True):
        numbers(bitmaps, **{name: tag})
    # Room for two, so the first has gone.
    for name, tag in zip("zyx", reversed(tags), strict=True):
        numbers(bitmaps, **{name: tag})
    assert [tag.reads for tag in tags] == [2, 1, 1]


def test_a_base_of_which_not_one_tag_can_be_kept_is_searched_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    bitmaps = Bitmaps(NUMBERS)
    assert numbers(bitmaps, x={3}) == numbers(bitmaps, x={3}) == [3]
