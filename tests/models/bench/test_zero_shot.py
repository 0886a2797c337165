from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bench.methods import METHODS
from models.bench.zero_shot import Grid
from models.job.checkpoint import Checkpoint
from models.job.recipe import Recipe
from tests.models.support import quiet

Make = Callable[..., Recipe]
SPLIT = "fewrel_m3_seed1"


@pytest.fixture(scope="module")
def grid(public_data: Path, tiny_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    folder = tmp_path_factory.mktemp("grid")
    recipe = tiny_recipe(
        per_relation=6, recall_epochs=1, classifier_epochs=1, classifier_instances=16, encoder_name="tiny"
    )
    return Grid(public_data, folder / "cells", folder / "runs", recipe, 5, (2, 3), "emma bench zero-shot")


@pytest.fixture(scope="module")
def cell(grid: Grid) -> dict[str, Any]:
    with quiet() as progress:
        return grid.run(SPLIT, "emma", progress)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_answers_with_tested_relations(grid: Grid, method: str) -> None:
    with quiet() as progress:
        found = grid.run(SPLIT, method, progress)
    answers = [row["answers"] for row in found["rows"] if "answers" in row]
    assert answers
    for answer in answers:
        assert set(answer) == {"P19", "P50", "P495"}
        assert all(sum(row.values()) == 5 and set(row) <= set(answer) for row in answer.values())


def test_a_cell_that_is_there_is_not_run_again(grid: Grid, cell: dict[str, Any]) -> None:
    file = grid.file(SPLIT, "emma")
    before = file.stat().st_mtime_ns
    with quiet() as progress:
        assert grid.run(SPLIT, "emma", progress) == json.loads(file.read_text())
    assert file.stat().st_mtime_ns == before


def test_emma_is_judged_alone_and_at_each_k_with_both_kinds_of_descriptions(cell: dict[str, Any]) -> None:
    found = [(row["descriptions"], row["variant"], row.get("k")) for row in cell["rows"]]
    assert found == [
        (described, *row)
        for described in ("published", "catalogue")
        for row in (
            ("recall only", None),
            ("classifier only", 2),
            ("recall + classifier", 2),
            ("classifier only", 3),
            ("recall + classifier", 3),
            ("recall@k", None),
        )
    ] + [("catalogue, one wording", "recall only", None), ("catalogue, one wording", "recall@k", None)]


def test_a_cell_tells_what_it_was_trained_and_tested_on(cell: dict[str, Any]) -> None:
    assert cell["test"] == {"instances": 15, "per_relation": 5, "missing": cell["test"]["missing"]}
    assert cell["trained_on"]["relations"] == 9
    assert len(cell["trained_on"]["files"]) == 6
    assert {row["stage"] for row in cell["history"]} == {"recall", "classifier"}


def test_one_training_serves_a_split_with_fewer_unseen_relations(
    grid: Grid, cell: dict[str, Any], public_data: Path
) -> None:
    narrower = {"train": ["P19", "P26"], "valid": ["P69"], "test": ["P50", "P495"]}
    (public_data / "splits" / "fewrel_m2_seed1.json").write_text(json.dumps(narrower))
    with quiet() as progress:
        found = replace(grid, trained_for=(SPLIT,)).run("fewrel_m2_seed1", "emma", progress)
    assert found["trained_on"] == cell["trained_on"] | {"for": SPLIT}
    assert found["history"] == cell["history"]
    assert set(found["rows"][0]["answers"]) == {"P50", "P495"}


def test_splits_that_share_a_training_are_adapted_to_each_in_a_place_of_its_own(
    grid: Grid, public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrower = {"train": ["P19", "P26"], "valid": ["P69"], "test": ["P50", "P495"]}
    (public_data / "splits" / "fewrel_m2_seed2.json").write_text(json.dumps(narrower))
    places: list[Path] = []

    def adapted(checkpoint: Checkpoint, *given: Any) -> tuple[Checkpoint, list[dict[str, Any]]]:
        places.append(given[3])
        return checkpoint, []

    monkeypatch.setattr("models.baselines.emma.self_train", adapted)
    shared = replace(grid, cells=tmp_path, trained_for=(SPLIT,))
    with quiet() as progress:
        for split in (SPLIT, "fewrel_m2_seed2"):
            shared.run(split, "emma-self-trained", progress)
    assert len({*places}) == len(places) == 4


def test_a_cell_names_no_place_of_the_machine(grid: Grid, cell: dict[str, Any]) -> None:
    text = grid.file(SPLIT, "emma").read_text()
    assert cell["recipe"]["encoder"] == "tiny"
    assert str(grid.data.parent) not in text
    assert grid.recipe.encoder not in text


def test_scores_are_those_of_the_answers(cell: dict[str, Any]) -> None:
    row = cell["rows"][0]
    recalls = [100 * row["answers"][name].get(name, 0) / 5 for name in row["answers"]]
    assert row["sklearn"]["recall"] == pytest.approx(np.mean(recalls))


def test_the_standard_error_is_that_of_drawing_the_test_instances_again(cell: dict[str, Any]) -> None:
    # A share of 15 instances has a standard error of at most 100 · sqrt(0.25 / 15) = 12.9.
    assert 0 < cell["rows"][0]["standard_error"] < 20


def test_what_differs_from_the_common_recipe_is_in_the_cell(grid: Grid) -> None:
    with quiet() as progress:
        found = grid.run(SPLIT, "emma-published", progress)["recipe"]
    assert (found["neighbours"], found["reading"], found["contrast"]) == (1, "published", "instances")
