"""What is asked for in the measurements: sentences, and as many relations as are wanted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.serving.load import Body
from models.job.dataset import read_examples
from models.relation import Relation
from models.text import Instance


def instances(path: Path, most: int = 1_000) -> list[Instance]:
    """The first instances of a file.

    Raises:
        models.job.dataset.DataError: the file cannot be used.
    """
    return [x.instance for x in read_examples(path)[0][:most]]


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
