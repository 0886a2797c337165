from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.serving.model import SHIPS, Bench
from benchmarks.serving.watched import Watched
from models.bundle import CATALOGUE, FILES, Bundle, FileRecord, write_manifest
from models.job.dataset import Example
from models.text import Instance
from service.extraction import Query


@pytest.fixture(scope="module")
def asked(tiny_examples: list[Example]) -> list[Instance]:
    return [x.instance for x in tiny_examples[:6]]


@pytest.fixture(scope="module")
def bench(tiny_bundle: Bundle, asked: list[Instance]) -> Bench:
    return Bench.of(tiny_bundle.path, asked)


def test_a_bundle_without_relations_gets_the_default_catalogue(
    tiny_bundle: Bundle, asked: list[Instance], tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_bundle.path, tmp_path / "copy")
    (copy / CATALOGUE).write_text("")
    records = {file: FileRecord.of(copy / file) for file in FILES}
    write_manifest(copy, tiny_bundle.manifest.model_copy(update={"files": records}))
    found = Bench.of(copy, asked)
    assert len(found.known) == len(found.vectors) > 100


def test_an_extractor_answers_by_what_the_bundle_knows(bench: Bench) -> None:
    [answer] = bench.extractor().extract([Query(bench.asked[0])])
    assert not isinstance(answer, Exception)
    assert {x.id for x in answer.candidates} <= {x.id for x in bench.known}


def test_growth_compares_each_number_of_relations_with_the_first(bench: Bench) -> None:
    first, second = bench.growth([4, 30], repeats=2)
    assert (first["relations"], second["relations"]) == (4, 30)
    assert first["ratio"] == [1.0, 1.0]
    assert second["ratio"] == [b / a for a, b in zip(first["ms"], second["ms"], strict=True)]


def test_reading_every_relation_is_compared_with_an_extraction(bench: Bench) -> None:
    [row] = bench.against_every([3], repeats=2)
    assert row["ratio"] == [b / a for a, b in zip(row["extraction_ms"], row["every_ms"], strict=True)]


def test_batches_are_compared_with_the_first_size(bench: Bench) -> None:
    first, second = bench.batches([1, 4], repeats=2)
    assert first["speed"] == [1.0, 1.0]
    assert second["speed"] == [a / b for a, b in zip(first["wall_ms"], second["wall_ms"], strict=True)]


def test_ways_to_share_the_processors_are_compared_with_one_reading_by_all(bench: Bench) -> None:
    rows = bench.sharing(2, [1, 3], repeats=2)
    assert [(row["at_once"], row["threads_each"], row["rows"]) for row in rows] == [
        (1, 2, 1),
        (2, 1, 1),
        (1, 2, 3),
        (2, 1, 3),
    ]
    assert rows[0]["speed"] == [1.0, 1.0]
    assert rows[-1]["speed"] == [a / b for a, b in zip(rows[0]["wall_ms"], rows[-1]["wall_ms"], strict=True)]


def test_stages_tell_how_many_candidates_are_read_as_it_ships(bench: Bench) -> None:
    rows = bench.stages([1, 3], repeats=2)
    assert [row["k"] for row in rows] == [0, 1, 3, SHIPS]
    assert all(1 <= x <= bench.runtime.bundle.manifest.candidates for x in rows[-1]["candidates_read"])


def test_company_tells_the_largest_change_of_a_score(bench: Bench) -> None:
    [row] = bench.company([4])
    assert 0 <= row["largest_change"] < 1e-4


def test_a_watched_model_answers_as_the_model_itself(bench: Bench) -> None:
    watched = Watched(bench.runtime)
    queries = [Query(x) for x in bench.asked]
    assert bench.extractor(model=watched).extract(queries) == bench.extractor().extract(queries)
    assert watched.candidates >= len(queries)
    watched.reset()
    assert (watched.recall_ms, watched.classify_ms, watched.candidates) == (0, 0, 0)
