"""Which relations may hold of the same pair, or be taken for one another, as relation files say it for training.

A line's `resembles` names them. Training counts none of two such relations as wrong where the other holds, and trains
on neither where the other is to stay unseen: it would be seen by another name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from models.relation import RelationFileError

Resemblances = dict[str, frozenset[str]]
"""Ids that a relation resembles, for every relation that there are any of."""


def read_resemblances(paths: Sequence[Path]) -> Resemblances:
    """What relation files say, of both whichever of the two says it.

    Args:
        paths: files that `models.relation.read_relations` has read.

    Raises:
        RelationFileError: a line's `resembles` is no list of relation ids.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            row = json.loads(line)
            others = row.get("resembles") or []
            if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
                raise RelationFileError(
                    f"{path}, line {number}: 'resembles' must be a list of relation ids, got {others!r}"
                )
            for other in others:
                found[row["id"]].add(other)
                found[other].add(row["id"])
    return {name: frozenset(ids) for name, ids in found.items()}
