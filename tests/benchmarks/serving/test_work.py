from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving import work
from benchmarks.serving.work import blocks, bodies, instances, relations, vectors
from models.chunks import Vectors
from models.job.dataset import read_examples
from models.relation import Relation
from models.text import Instance, Span

KNOWN = [Relation("P19", "place of birth", "Where the head was born."), Relation("P26", "spouse", "Married.")]


@pytest.fixture
def known() -> Vectors:
    """Vectors that are not all equally near to each other."""
    found = 1 + np.random.default_rng(1).standard_normal((6, 48), dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_instances_are_drawn_from_the_whole_file_and_the_same_each_time(test_data: Path) -> None:
    file = test_data / "instances.jsonl"
    drawn = instances(file, 20)
    assert drawn == instances(file, 20)
    assert {x.instance for x in read_examples(file)[0][:20]} != {*drawn} < {x.instance for x in read_examples(file)[0]}


def test_beyond_the_known_relations_ids_and_texts_are_new() -> None:
    made = relations(KNOWN, 5)
    assert made[:2] == KNOWN
    assert len({x.id for x in made}) == len({x.name for x in made}) == 5


def test_relations_that_come_again_have_one_wording() -> None:
    [_, again] = relations([Relation("P26", "spouse", "Married.", ("is married to",))], 2)
    assert again.wordings() == ("Married.",)


def test_fewer_relations_than_known_are_the_first() -> None:
    assert relations(KNOWN, 1) == KNOWN[:1]


@pytest.mark.parametrize("count", [4, 6, 20])
def test_there_are_as_many_vectors_as_are_wanted_and_the_known_come_first(known: Vectors, count: int) -> None:
    made = vectors(known, count)
    assert made.shape == (count, 48)
    np.testing.assert_array_equal(made[:6], known[:count])
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_a_drawn_vector_is_as_near_to_a_known_one_as_these_are_to_their_nearest(known: Vectors) -> None:
    cosines = known @ known.T - 2 * np.eye(6)
    drawn = vectors(known, 18)[6:]
    own = (drawn * known[np.arange(6, 18) % 6]).sum(axis=1)
    np.testing.assert_allclose(own, np.median(cosines.max(axis=1)), atol=1e-5)


def test_vectors_come_in_blocks(known: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BLOCK", 4)
    assert [len(x) for x in blocks(known, 16)] == [6, 4, 4, 2]


def test_a_body_is_what_extract_takes() -> None:
    [body] = bodies([Instance("Ada was born in London.", Span(0, 3), Span(16, 22))])
    assert body == {
        "sentence": "Ada was born in London.",
        "head": {"start": 0, "end": 3},
        "tail": {"start": 16, "end": 22},
    }
