"""Which rows go through the model together: random, but of about the same length."""

from __future__ import annotations

import random
from collections.abc import Sequence

WINDOW = 50
"""Batches' worth of shuffled rows that are sorted by length together; more saves padding, less mixes better."""


def length_buckets(lengths: Sequence[int], size: int, seed: str) -> list[list[int]]:
    """Cut all rows into batches of rows of similar length, in random order.

    Args:
        lengths: of each row, in tokens.
        size: rows per batch; the last one may have fewer.
        seed: the same seed gives the same batches.

    Returns:
        Row numbers, each exactly once.
    """
    draw = random.Random(seed)
    rows = list(range(len(lengths)))
    draw.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), WINDOW * size):
        window = sorted(rows[start : start + WINDOW * size], key=lambda row: lengths[row])
        batches.extend(window[i : i + size] for i in range(0, len(window), size))
    draw.shuffle(batches)
    return batches
