from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chunks import Vectors, in_chunks


def rows(items: list[int]) -> Vectors:
    return np.array([[item, -item] for item in items], dtype=np.float32)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 7))
def test_results_come_in_the_order_of_the_items(items: list[int], size: int) -> None:
    assert in_chunks(items, lambda item: item, size, rows).tolist() == [[item, -item] for item in items]


def test_results_of_one_number_an_item_come_in_order_too() -> None:
    found = in_chunks([3, 1, 2], lambda item: item, 2, lambda chunk: np.array(chunk, dtype=np.float32))
    assert found.tolist() == [3, 1, 2]


def test_items_of_similar_length_share_a_chunk() -> None:
    chunks: list[list[int]] = []

    def call(items: list[int]) -> Vectors:
        chunks.append(items)
        return rows(items)

    in_chunks([9, 1, 8, 2, 7], lambda item: item, 2, call)
    assert chunks == [[1, 2], [7, 8], [9]]


def test_nothing_to_run_on_is_refused() -> None:
    with pytest.raises(ValueError, match="give at least one item"):
        in_chunks([], len, 2, lambda chunk: rows([]))
