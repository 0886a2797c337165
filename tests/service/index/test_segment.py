"""What every segment has to do, whatever its tier."""

from __future__ import annotations

import numpy as np
import pytest

from service.index.among import Among
from service.index.gpu import Gpu
from service.index.lists import Lists
from service.index.segment import Segment
from tests.service.index.support import axis, clustered, flat, source


@pytest.fixture(params=[None, Lists, Gpu], ids=["flat", "lists", "gpu"])
def segment(request: pytest.FixtureRequest, without_gpu: None) -> Segment:
    """Vectors along the axes, numbered from 10."""
    made = flat(axis(*range(8)), first=10)
    found: Segment = made if request.param is None else request.param.build(source(made))
    return found


def numbers(segment: Segment, k: int, among: list[int] | None = None) -> list[int]:
    vector = np.array([0.8, 0.5, 0.3, 0.1, 0, 0, 0, 0], dtype=np.float32)
    restriction = None if among is None else Among({None: {*among}})
    return [number for _, number in segment.search(vector, k, restriction)]


def test_the_nearest_come_first(segment: Segment) -> None:
    assert numbers(segment, 3) == [10, 11, 12]


def test_to_ask_for_more_than_there_are_finds_each_once(segment: Segment) -> None:
    assert sorted(numbers(segment, 50)) == list(range(10, 18))


def test_what_is_discarded_is_not_found_and_makes_room_for_others(segment: Segment) -> None:
    segment.discard([10, 12, 99])
    assert numbers(segment, 2) == [11, 13]
    assert len(segment) == 6
    assert segment.live().tolist() == [11, 13, 14, 15, 16, 17]


def test_to_discard_again_changes_nothing(segment: Segment) -> None:
    segment.discard([10])
    segment.discard([10])
    assert len(segment) == 7


def test_only_what_is_asked_for_and_there_is_considered(segment: Segment) -> None:
    segment.discard([11])
    assert numbers(segment, 5, [9, 11, 12, 13, 99]) == [12, 13]
    assert numbers(segment, 5, []) == numbers(segment, 5, [11, 99]) == []


def test_of_several_groups_each_that_is_there_is_considered_once(segment: Segment) -> None:
    vector = axis(0)[0]
    found = segment.search(vector, 8, Among({"x": {10, 12}, "y": {12, 17, 99}}))
    assert sorted(number for _, number in found) == [10, 12, 17]


def test_vectors_are_read_of_those_that_can_be_found(segment: Segment) -> None:
    segment.discard([11])
    found, vectors = segment.read(np.array([11, 12, 14, 99]))
    assert found.tolist() == [12, 14]
    np.testing.assert_allclose(vectors, axis(2, 4), atol=1e-3)


def test_a_segment_that_was_emptied_finds_nothing(segment: Segment) -> None:
    segment.discard(range(10, 18))
    assert numbers(segment, 5) == []
    assert len(segment.read(np.array([10]))[1]) == 0


def test_the_flat_one_finds_the_same_after_many_were_discarded() -> None:
    vectors = clustered(500)
    segment, gone = flat(vectors), np.random.default_rng(1).permutation(500)[:400]
    segment.discard(gone.tolist())
    left = np.setdiff1d(np.arange(500), gone)
    for vector in vectors[:20]:
        best = left[np.argsort(-(vectors[left] @ vector))[:5]]
        assert [number for _, number in segment.search(vector, 5)] == best.tolist()


def test_of_those_that_are_as_near_the_first_come_first_whatever_k_is() -> None:
    segment = flat(axis(0, 1, 0, 0, 0, 0), first=10)
    segment.discard([10])
    for k in range(1, 6):
        assert numbers(segment, k) == [12, 13, 14, 15, 11][:k]
