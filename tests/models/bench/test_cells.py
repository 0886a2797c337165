from __future__ import annotations

from pathlib import Path

import pytest

from models.bench.cells import headline, read_cells
from models.job.dataset import DataError
from tests.models.bench.comparison import EMMA_ROWS, cell, row


def test_a_method_that_reads_candidates_is_judged_at_five_of_them() -> None:
    found = cell("fewrel_m15_seed42", "emma", "EMMA as built", EMMA_ROWS)
    assert headline(found, "catalogue")["paper"]["f1"] == 77.5
    assert headline(found, "published")["paper"]["f1"] == 71.0


def test_the_published_head_is_judged_by_its_classifier() -> None:
    rows = [row("published", "recall only", None, 60.0), row("published", "classifier only", 2, 59.0)]
    assert headline(cell("fewrel_m15_seed42", "emma-published", "EMMA as published", rows))["k"] == 2


def test_a_method_with_one_answer_is_judged_by_it() -> None:
    found = cell("fewrel_m15_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 41.25)])
    assert headline(found)["paper"]["f1"] == 41.25


def test_an_empty_directory_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no cells: run `emma bench zero-shot` first"):
        read_cells(tmp_path)


def test_a_file_that_is_no_cell_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match=r"other\.json: not a cell"):
        read_cells(tmp_path)
