"""What is asked for in the measurements: sentences, and as many relations as are wanted with their vectors."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks.serving.load import Body
from models.chunks import Vectors
from models.job.dataset import read_examples
from models.relation import Relation
from models.text import Instance

SEED = 0
BLOCK = 10_000
"""Vectors that are drawn at once."""


def instances(path: Path, most: int = 1_000) -> list[Instance]:
    """Instances of a file, drawn at random where it has more; the same each time.

    Raises:
        models.job.dataset.DataError: the file cannot be used.
    """
    found = [x.instance for x in read_examples(path)[0]]
    return random.Random(SEED).sample(found, min(most, len(found)))


def bodies(asked: Sequence[Instance]) -> list[Body]:
    """What `POST /extract` takes."""
    return [{"sentence": x.sentence, "head": asdict(x.head), "tail": asdict(x.tail)} for x in asked]


def relations(known: Sequence[Relation], count: int) -> list[Relation]:
    """As many relations with ids of their own.

    Beyond the known ones, these come again, with one wording each and a number in the name.

    >>> [x.id for x in relations([Relation("P19", "place of birth", "Where the head was born.")], 3)]
    ['P19', 'P19.1', 'P19.2']
    """
    made = []
    for number, relation in zip(range(count), itertools.cycle(known), strict=False):
        time = number // len(known)
        again = replace(relation, id=f"{relation.id}.{time}", name=f"{relation.name} {time}", paraphrases=())
        made.append(again if time else relation)
    return made


def vectors(known: Vectors, count: int) -> Vectors:
    """Description vectors of as many relations, shape (count, dimension); see `blocks`."""
    return np.concatenate([*blocks(known, count)])


def blocks(known: Vectors, count: int) -> Iterator[Vectors]:
    """Description vectors of as many relations, some thousand at once: a million do not fit into memory twice.

    Beyond the known ones, each known one has others around it, as near as the known ones have their nearest on the
    median, and off in directions in which these differ among themselves.

    Args:
        known: unit vectors of at least two real descriptions (relations, dimension).
        count: how many in all; the first are the known ones.
    """
    draw = np.random.default_rng(SEED)
    cosines = known @ known.T
    np.fill_diagonal(cosines, -1)
    near = np.median(cosines.max(axis=1))
    spread = known - known.mean(axis=0)
    yield known[:count]
    for start in range(len(known), count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, count))
        around = known[numbers % len(known)]
        away = draw.standard_normal((len(numbers), len(known)), dtype=np.float32) @ spread
        # Only what is at right angles to the vector, so that the cosine is what is wanted.
        away -= (away * around).sum(axis=1, keepdims=True) * around
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        yield np.asarray(near * around + np.sqrt(1 - near**2) * away, dtype=np.float32)
