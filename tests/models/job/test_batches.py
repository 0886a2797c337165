from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from models.job.batches import WINDOW, length_buckets

LENGTHS = [random.Random(i).randint(5, 60) for i in range(400)]


@given(st.lists(st.integers(1, 100), max_size=120), st.integers(1, 9), st.text(max_size=3))
def test_every_row_comes_exactly_once(lengths: list[int], size: int, seed: str) -> None:
    batches = length_buckets(lengths, size, seed)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))


@given(st.integers(0, 200), st.integers(1, 9))
def test_all_batches_are_full_but_one(rows: int, size: int) -> None:
    sizes = sorted(len(batch) for batch in length_buckets([1] * rows, size, "x"))
    assert all(found == size for found in sizes[1:])
    assert len(sizes) == -(-rows // size)


def test_the_same_seed_gives_the_same_batches() -> None:
    assert length_buckets(LENGTHS, 8, "13/recall/0") == length_buckets(LENGTHS, 8, "13/recall/0")


def test_another_seed_gives_other_batches() -> None:
    assert length_buckets(LENGTHS, 8, "13/recall/0") != length_buckets(LENGTHS, 8, "13/recall/1")


def test_rows_of_a_batch_have_similar_lengths() -> None:
    assert len(LENGTHS) <= WINDOW * 8
    spreads = [max(LENGTHS[row] for row in x) - min(LENGTHS[row] for row in x) for x in length_buckets(LENGTHS, 8, "x")]
    assert max(spreads) <= 4


def test_batches_do_not_come_by_length() -> None:
    means = [sum(LENGTHS[row] for row in batch) / len(batch) for batch in length_buckets(LENGTHS, 8, "x")]
    assert means != sorted(means)


def test_rows_are_mixed_beyond_their_neighbours() -> None:
    batches = length_buckets([10] * 400, 8, "x")
    assert max(max(batch) - min(batch) for batch in batches) > 100
