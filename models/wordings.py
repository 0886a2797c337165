"""One vector for a relation that is described in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from models.chunks import Vectors
from models.relation import Relation
from models.text import DescriptionInput


class DescriptionEncoder(Protocol):
    """The half of a model that reads descriptions."""

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        """Tokenize principal descriptions."""

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """Unit vectors (descriptions, dimension)."""


def relation_vectors(encoder: DescriptionEncoder, relations: Sequence[Relation]) -> Vectors:
    """The mean direction of the vectors of all wordings of each relation: (relations, dimension), unit norm.

    What one wording happens to stress is averaged out, at no cost for the search: a relation stays one vector.
    """
    apart = [x for relation in relations for x in worded_apart(relation)]
    vectors = encoder.encode_descriptions(encoder.describe(apart))
    return mean_directions(vectors, [len(x.wordings()) for x in relations])


def worded_apart(relation: Relation) -> list[Relation]:
    """The relation once for each of its wordings, as if it had no other."""
    return [replace(relation, description=text, paraphrases=()) for text in relation.wordings()]


def mean_directions(vectors: Vectors, sizes: Sequence[int]) -> Vectors:
    """Of each group of neighbouring rows, the direction of their sum.

    Args:
        vectors: unit vectors (rows, dimension).
        sizes: rows of each group, at least one; their sum is the number of rows.

    Returns:
        (groups, dimension), unit norm.
    """
    sums = np.add.reduceat(vectors, np.cumsum([0, *sizes[:-1]]), axis=0)
    means: Vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means
