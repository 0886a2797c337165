from __future__ import annotations

import faiss
import numpy as np
import pytest

from benchmarks.registry.filling import Crowd
from benchmarks.serving import search as module
from benchmarks.serving.search import KINDS, search
from models.relation import Relation


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    found = 1 + np.random.default_rng(1).standard_normal((40, 24), dtype=np.float32)
    vectors = np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)
    return Crowd([Relation(str(number), "name", "It is.") for number in range(40)], vectors)


def test_every_kind_of_index_is_compared_with_the_exact_one(crowd: Crowd) -> None:
    rows = search(crowd, crowd.vectors[:5], [100, 600], list(KINDS), 1_000)
    assert [(x["relations"], x["index"]) for x in rows] == [(n, kind) for n in (100, 600) for kind in KINDS]
    assert all(row["recall_at_10"] > 0.3 for row in rows)
    assert all(row["recall_at_10"] == 1 for row in rows if row["index"] == "flat")


def test_the_exact_search_is_there_where_it_is_not_asked_for(crowd: Crowd) -> None:
    assert [x["index"] for x in search(crowd, crowd.vectors[:5], [50], ["HNSW"], 1_000)] == ["flat", "HNSW"]


def test_graphs_are_left_out_beyond_a_number_of_relations(crowd: Crowd) -> None:
    found = {
        (x["relations"], x["index"]) for x in search(crowd, crowd.vectors[:5], [50, 100], ["HNSW", "flat, SQ8"], 50)
    }
    assert found == {(50, "flat"), (50, "HNSW"), (50, "flat, SQ8"), (100, "flat"), (100, "flat, SQ8")}


def test_the_size_is_that_of_the_vectors_and_little_more(crowd: Crowd) -> None:
    sizes = {
        x["index"]: 1e6 * x["mb"] for x in search(crowd, crowd.vectors[:5], [1_000], ["flat, fp16", "flat, SQ8"], 0)
    }
    for kind, width in (("flat", 4), ("flat, fp16", 2), ("flat, SQ8", 1)):
        assert 1_000 * 24 * width <= sizes[kind] < 1_000 * 24 * width + 1_000


def test_afterwards_a_search_runs_on_one_thread_again(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_processors", lambda: 2)
    search(crowd, crowd.vectors[:5], [50], [], 0)
    assert faiss.omp_get_max_threads() == 1
