"""Run a model over many items in chunks of similar length, and give the results in the items' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Vectors = npt.NDArray[np.float32]


def in_chunks(
    items: Sequence[Item], length: Callable[[Item], int], size: int, call: Callable[[list[Item]], Vectors]
) -> Vectors:
    """Results of `call` for all items, its rows put back in order.

    Args:
        items: at least one.
        length: tokens of an item; items of similar length share a chunk, so that little is padding.
        size: most items per call.
        call: items to an array with one row for each.

    Raises:
        ValueError: there are no items.
    """
    if not items:
        raise ValueError("nothing to run the model on: give at least one item")
    order = sorted(range(len(items)), key=lambda row: length(items[row]))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    results = np.concatenate([call([items[row] for row in chunk]) for chunk in chunks])
    restored = np.empty_like(results)
    restored[order] = results
    return restored
