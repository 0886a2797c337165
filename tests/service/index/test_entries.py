from __future__ import annotations

import numpy as np
import pytest

from service.index.entries import Entries
from service.index.entry import Search
from tests.service.index.support import entry


@pytest.fixture
def entries() -> Entries:
    made = Entries()
    made.add([entry("a", tags="x", stamp=5), entry("b", tags="xy", stamp=6), entry("c", stamp=2**64 - 1)])
    return made


def among(entries: Entries, **restriction: list[str]) -> list[int]:
    found, _, _ = entries.among(Search(1, **restriction))
    assert found is not None
    return [*map(int, found.numbers())]


def test_a_relation_comes_back_as_it_was(entries: Entries) -> None:
    assert entries[1] == entry("b", tags="xy", stamp=6)


def test_no_number_is_given_again(entries: Entries) -> None:
    assert entries.remove(["c", "z"]) == [2]
    assert entries.add([entry("c")]).tolist() == [3]
    entries.skip(10)
    assert entries.add([entry("d")]).tolist() == [10]


def test_ids_and_tags_restrict_to_the_numbers_that_both_allow(entries: Entries) -> None:
    assert entries.among(Search(1)) == (None, [], [])
    assert among(entries, restrict=["c", "a", "c"]) == [0, 2]
    assert among(entries, tags=["y", "x"]) == [0, 1]
    assert among(entries, tags=["x"], restrict=["b", "c"]) == [1]
    assert among(entries, tags=[]) == []


def test_a_change_shows_in_a_tag_that_was_asked_for_before(entries: Entries) -> None:
    assert among(entries, tags=["x"]) == [0, 1]
    entries.remove(["a"])
    entries.add([entry("d", tags="x")])
    assert among(entries, tags=["x"]) == [1, 3]


def test_stamps_are_told_by_number_and_0_for_what_is_not_there(entries: Entries) -> None:
    assert entries.stamps(np.array([2, 9, 0])).tolist() == [2**64 - 1, 0, 5]
