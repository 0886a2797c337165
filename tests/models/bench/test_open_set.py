from __future__ import annotations

from pathlib import Path

import pytest

from models.bench import open_set
from models.bench.open_set import measure
from models.job.checkpoint import Checkpoint
from models.job.dataset import Example
from models.relation import Relation

SEEN = ("P19", "P50", "P495", "P22", "P40", "P26", "P57")


@pytest.fixture(scope="module")
def relations(tiny_relations: dict[str, Relation]) -> list[Relation]:
    return [tiny_relations[name] for name in SEEN]


@pytest.fixture(scope="module")
def test(tiny_examples: list[Example]) -> list[Example]:
    return [x for x in tiny_examples if x.relation in SEEN]


def test_related_pairs_are_measured_against_what_annotators_left_unrelated(
    tiny_checkpoint: Checkpoint, public_data: Path, test: list[Example], relations: list[Relation]
) -> None:
    found = measure(tiny_checkpoint, public_data, test, relations, 1)["redocred"]
    assert found["pairs"] > 10
    assert found["unrelated"] > 10
    assert set(found["false_positives_by_kind"]) == {"reverse_related", "other"}
    assert 0 <= found["auroc"] <= 1


def test_half_of_the_test_sentences_have_their_relation_withheld(
    tiny_checkpoint: Checkpoint, public_data: Path, test: list[Example], relations: list[Relation]
) -> None:
    found = measure(tiny_checkpoint, public_data, test, relations, 1)["withheld"]
    assert found["pairs"] == len(test) // 2
    assert found["unrelated"] == len(test) - len(test) // 2


def test_nothing_is_withheld_where_too_few_candidates_would_be_left(
    tiny_checkpoint: Checkpoint, public_data: Path, test: list[Example], relations: list[Relation]
) -> None:
    few = relations[:3]
    among = [x for x in test if x.relation in {y.id for y in few}]
    assert "withheld" not in measure(tiny_checkpoint, public_data, among, few, 1)


def test_direction_is_told_where_relations_have_one(
    tiny_checkpoint: Checkpoint, public_data: Path, test: list[Example], relations: list[Relation]
) -> None:
    assert measure(tiny_checkpoint, public_data, test, relations, 1)["redocred_direction"]["pairs"] > 10


def test_a_relation_fills_the_related_pairs_only_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Checkpoint,
    public_data: Path,
    test: list[Example],
    relations: list[Relation],
) -> None:
    monkeypatch.setattr(open_set, "PER_RELATION", 1)
    monkeypatch.setattr(open_set, "PAIRS", 4)
    found = measure(tiny_checkpoint, public_data, test, relations, 1)["redocred"]
    assert found["pairs"] <= len(SEEN)
    assert found["unrelated"] == 4
