from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.registry.filling import Crowd
from benchmarks.registry.million import Million
from models.chunks import Vectors
from models.relation import Relation
from service.index.lists import Lists


def clustered(count: int) -> Vectors:
    draw = np.random.default_rng(1)
    found = (1 + draw.standard_normal((count, 96))) / np.sqrt(1 + np.arange(96))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Million:
    vectors = clustered(60)
    known = [Relation(f"P{number}", "name", "The head is in the tail.") for number in range(40)]
    measurement = Million(tmp_path_factory.mktemp("registry"), Crowd(known, vectors[:40]), vectors[40:], 6_000, "f1")
    measurement.run()
    return measurement


def test_the_index_is_made_kept_and_used_again(measured: Million) -> None:
    rows = {row["what"]: row for row in measured.rows}
    assert rows["then, until the index is made"]["index"] == Lists.tier
    assert rows["start with the kept index"]["index"] == Lists.tier
    assert rows["of these were kept"]["relations"] >= 6_000


def test_nearly_all_of_the_nearest_are_found_among_all_and_among_those_of_a_tag(measured: Million) -> None:
    recalls = {row["what"]: row["recall"] for row in measured.rows if "recall" in row}
    assert len(recalls) == 3
    assert min(recalls.values()) > 0.9


def test_a_registry_that_is_there_is_not_filled_again(tmp_path: Path) -> None:
    vectors = clustered(60)
    known = [Relation(f"P{number}", "name", "The head is in the tail.") for number in range(40)]
    for count, expected in ((50, 50), (80, 80)):
        measurement = Million(tmp_path, Crowd(known, vectors[:40]), vectors[40:], count, "f1")
        measurement._fill()
        assert measurement._registry.page(limit=1).total == expected
        measurement._registry.close()
