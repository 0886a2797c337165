from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.model import Bench
from benchmarks.serving.systems import compare, lists, openvino_bf16, served, torch_bf16
from models.bundle import Bundle
from models.candidates import CandidateList
from models.job.checkpoint import Checkpoint, CheckpointError
from models.job.dataset import Example


@pytest.fixture(scope="module")
def bench(tiny_bundle: Bundle, tiny_examples: list[Example]) -> Bench:
    return Bench.of(tiny_bundle.path, [x.instance for x in tiny_examples[:5]])


def test_all_sentences_are_read_with_as_many_candidates_and_by_length(bench: Bench) -> None:
    batch = lists(bench)
    assert {len(x.candidates) for x in batch} == {bench.runtime.bundle.manifest.candidates}
    assert [x.length for x in batch] == sorted(x.length for x in batch)


def test_each_system_reads_every_batch_of_each_size(bench: Bench) -> None:
    read: list[int] = []

    def system(batch: list[CandidateList]) -> object:
        return lambda: read.append(len(batch))

    rows = compare([("one", system), ("other", system)], lists(bench), [2, 5], repeats=2)  # type: ignore[list-item]
    assert [(x["system"], x["batch"]) for x in rows] == [("one", 2), ("other", 2), ("one", 5), ("other", 5)]
    # Once to warm up, and twice.
    assert read == 3 * 2 * [2, 2, 1] + 3 * 2 * [5]


def test_the_first_system_is_what_the_others_are_compared_with(bench: Bench) -> None:
    system = served(bench.runtime)
    first, second = compare([("one", system), ("other", system)], lists(bench), [5], repeats=2)
    assert first["speed"] == [1.0, 1.0]
    assert second["speed"] == [a / b for a, b in zip(first["wall_ms"], second["wall_ms"], strict=True)]


def test_a_checkpoint_reads_the_same_batches(bench: Bench, tiny_checkpoint_dir: Path) -> None:
    name, system = torch_bf16(tiny_checkpoint_dir)
    assert name.startswith("torch")
    read: Any = system(lists(bench))()
    vectors, logits = read
    assert vectors.shape == (5, bench.runtime.bundle.manifest.dimension)
    assert logits.shape == (5, bench.runtime.bundle.manifest.candidates)


def test_a_checkpoint_without_such_a_classifier_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    Checkpoint(
        tiny_checkpoint.recipe,
        tiny_checkpoint.vocabulary,
        tiny_checkpoint.inputs,
        tiny_checkpoint.recall,
        None,
        tiny_checkpoint.calibration,
        {},
    ).save(tmp_path)
    with pytest.raises(CheckpointError, match="reads a sentence once"):
        torch_bf16(tmp_path)


def test_openvino_is_left_out_where_it_is_not_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.systems.find_spec", lambda name: None)
    assert [*openvino_bf16(bench.runtime.bundle, bench.runtime)] == []
