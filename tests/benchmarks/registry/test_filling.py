from __future__ import annotations

import numpy as np
import pytest

from benchmarks.registry import filling
from benchmarks.registry.filling import HUNDREDTH, Crowd
from models.relation import Relation


@pytest.fixture
def crowd() -> Crowd:
    found = 1 + np.random.default_rng(1).standard_normal((30, 24))
    known = [Relation(f"P{number}", "name", "The head is in the tail.", ("Another.",)) for number in range(30)]
    return Crowd(known, np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32))


def test_each_relation_has_an_id_of_its_own_and_one_wording(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "BATCH", 40)
    drafts = [draft for batch in crowd.drafts(100, 60) for draft in batch]
    assert [draft.id for draft in drafts] == [f"P{number % 30}.{number}" for number in range(60, 160)]
    assert {draft.relation.paraphrases for draft in drafts} == {()}
    assert [draft.id for draft in drafts if HUNDREDTH in draft.relation.tags] == ["P10.100"]


def test_vectors_are_of_unit_norm_and_the_same_each_time(crowd: Crowd) -> None:
    drawn = crowd.drawn(range(1_000, 1_500))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(drawn, crowd.drawn(range(1_000, 1_500)))
    assert len(np.unique(drawn.round(4), axis=0)) > 450


def test_others_lie_about_as_near_to_a_known_one_as_known_ones_do(crowd: Crowd) -> None:
    cosines = crowd.vectors @ crowd.vectors.T - 2 * np.eye(30)
    others = (crowd.drawn(range(2_000)) @ crowd.vectors.T).max(axis=1)
    assert np.median(others) == pytest.approx(np.median(cosines.max(axis=1)), abs=0.15)
