from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.job.checkpoint import Checkpoint
from models.relation import Relation
from models.wordings import mean_directions, relation_vectors

BORN = Relation("P19", "place of birth", "The head was born in the tail.", ("A native of the town .",))
DIED = Relation("P20", "place of death", "The head died in the tail.")


def test_one_wording_is_encoded_as_it_is(tiny_checkpoint: Checkpoint) -> None:
    expected = tiny_checkpoint.encode_descriptions(tiny_checkpoint.describe([DIED]))
    np.testing.assert_allclose(relation_vectors(tiny_checkpoint, [DIED]), expected, atol=1e-6)


def test_several_wordings_are_their_mean_direction(tiny_checkpoint: Checkpoint) -> None:
    texts = [replace(BORN, description=text) for text in BORN.wordings()]
    mean = tiny_checkpoint.encode_descriptions(tiny_checkpoint.describe(texts)).mean(axis=0)
    [found] = relation_vectors(tiny_checkpoint, [BORN])
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_the_mean_is_that_of_each_groups_rows_alone() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 3]]
    np.testing.assert_allclose(
        mean_directions(vectors, [2, 1, 2]), [[0.5**0.5] * 2 + [0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


@pytest.mark.parametrize("relations", [[BORN, DIED], [DIED, BORN]])
def test_each_relation_has_a_vector_of_unit_norm_in_its_place(
    tiny_checkpoint: Checkpoint, relations: list[Relation]
) -> None:
    found = relation_vectors(tiny_checkpoint, relations)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    alone = [relation_vectors(tiny_checkpoint, [relation])[0] for relation in relations]
    np.testing.assert_allclose(found, alone, atol=1e-5)
