"""What the index's tests share."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np

from service.index import Entry, Vectors
from service.index.flat import Flat
from service.index.segment import Segment
from service.index.source import Source
from service.index.turns import Turns


def entry(key: str, version: int = 1, tags: Collection[str] = (), stamp: int = 0) -> Entry:
    return Entry(key, key.upper(), f"The head is {key} of the tail.", version, tuple(tags), stamp)


def axis(*positions: int, dimension: int = 8) -> Vectors:
    return np.eye(dimension, dtype=np.float32)[list(positions)]


def clustered(count: int, dimension: int = 96, seed: int = 0) -> Vectors:
    """Unit vectors around some centres, and in some directions more than in others, as descriptions are."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((40, dimension))
    found = centres[draw.integers(len(centres), size=count)] + draw.standard_normal((count, dimension))
    found /= np.sqrt(1 + np.arange(dimension))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def flat(vectors: Vectors, first: int = 0) -> Flat:
    """Of vectors whose numbers count on from the first."""
    made = Flat(vectors.shape[1])
    made.add(np.arange(first, first + len(vectors), dtype=np.int64), vectors)
    return made


def source(*segments: Segment) -> Source:
    return Source(segments, segments[0].dimension, Turns(), threading.Event())
