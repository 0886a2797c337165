from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.serving.model import Bench
from benchmarks.serving.precision import accuracy, speed
from models.bench.data import ONE_WORDING, SplitData
from models.bundle import Bundle
from models.job.dataset import Example, TrainingData
from models.relation import Relation


@pytest.fixture
def pair(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The same bundle twice: nothing is lost between them."""
    for name in ("fp32", "int8"):
        shutil.copytree(tiny_bundle.path, tmp_path / name)
    return tmp_path


def test_the_ratio_is_of_the_two_throughputs(tiny_bundle: Bundle, tiny_examples: list[Example]) -> None:
    bench = Bench.of(tiny_bundle.path, [x.instance for x in tiny_examples[:4]])
    for row in speed(bench, bench, [1, 4], repeats=2):
        assert row["ratio"] == [a / b for a, b in zip(row["fp32_ms"], row["int8_ms"], strict=True)]


def test_the_same_graphs_lose_no_f1(
    pair: Path, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    relations = list(tiny_relations.values())
    related = [x for x in tiny_examples if x.relation is not None][:30]
    training = TrainingData([], [], {}, [], [])
    data = SplitData(
        "tiny", "tiny", 3, "1", training, related, [], {"published": relations, ONE_WORDING: relations}, "", []
    )
    [row] = accuracy(pair, data)
    assert (row["split"], row["descriptions"], row["sentences"]) == ("tiny", "published", 30)
    assert row["fp32"] == row["int8"] > 0
    assert row["lost"] == row["standard_error"] == 0
