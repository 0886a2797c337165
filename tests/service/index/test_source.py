from __future__ import annotations

import threading

import numpy as np
import pytest

from service.index import source as module
from service.index.source import Source, StoppedError
from service.index.turns import Turns
from tests.service.index.support import clustered, flat, source


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 10)


def test_all_segments_are_read_in_the_order_of_their_numbers() -> None:
    vectors = clustered(50)
    whole = source(flat(vectors[:30]), flat(vectors[30:], first=30))
    numbers, read = map(np.concatenate, zip(*whole.blocks(), strict=True))
    assert len(whole) == 50
    assert numbers.tolist() == list(range(50))
    np.testing.assert_array_equal(read, vectors)


def test_what_is_discarded_meanwhile_is_left_out() -> None:
    first = flat(clustered(30))
    blocks = source(first).blocks()
    next(blocks)
    first.discard([0, 15, 29])
    left = np.concatenate([numbers for numbers, _ in blocks])
    assert left.tolist() == [*range(10, 15), *range(16, 29)]


def test_a_sample_is_from_all_of_them() -> None:
    vectors = clustered(100)
    np.testing.assert_array_equal(source(flat(vectors)).sample(10), vectors[::10])


def test_nothing_is_read_once_it_was_stopped() -> None:
    stop = threading.Event()
    blocks = Source([flat(clustered(30))], 96, Turns(), stop).blocks()
    next(blocks)
    stop.set()
    with pytest.raises(StoppedError):
        next(blocks)


def test_nobody_has_to_stop_searching_for_it() -> None:
    turns = Turns()
    whole = Source([flat(clustered(30))], 96, turns, threading.Event())
    with turns.shared():
        assert sum(len(numbers) for numbers, _ in whole.blocks()) == 30
