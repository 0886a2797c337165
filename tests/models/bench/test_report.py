from __future__ import annotations

from pathlib import Path

import pytest

from models.bench.report import write
from tests.models.bench.comparison import EMMA_ROWS, cell, row, saved


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    found = [
        cell("fewrel_m15_seed42", "emma", "EMMA as built", EMMA_ROWS),
        cell("fewrel_m15_seed40", "emma", "EMMA as built", [x | {"cpu_ms_per_sentence": 3.0} for x in EMMA_ROWS]),
        cell("fewrel_m5_seed42", "emma", "EMMA as built", EMMA_ROWS),
        cell("fewrel_m15_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 41.25)]),
    ]
    return saved(tmp_path, *found)


def text(cells: Path, tmp_path: Path) -> str:
    write(cells, tmp_path / "out" / "zero_shot.md")
    return (tmp_path / "out" / "zero_shot.md").read_text(encoding="utf-8")


def test_the_mean_over_seeds_has_its_spread_and_their_number(cells: Path, tmp_path: Path) -> None:
    assert "| EMMA as built, our descriptions | 77.50 (1) |  | 77.50 ± 0.00 (2) |" in text(cells, tmp_path)


def test_published_figures_are_quoted_with_their_source(cells: Path, tmp_path: Path) -> None:
    assert "| *EMMA (BERT-base, k = 2); arXiv 2406.11429, Table 1* | 94.67 | 87.22 | 80.10 |" in text(cells, tmp_path)


def test_every_row_of_a_split_is_in_its_table(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    assert "| ZS-BERT | 1,200 of 60 | published |  |  | 41.25 | 41.25 | 41.25 | 41.25 | 0.50 | 2.0 |" in found
    assert "| EMMA as built | 1,200 of 60 | catalogue | recall + classifier | 2 | 76.00 |" in found


def test_a_training_for_another_split_is_told(tmp_path: Path) -> None:
    found = cell("fewrel_m5_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 40.0)])
    found["trained_on"]["for"] = "fewrel_m15_seed42"
    assert "| ZS-BERT | 1,200 of 60, for fewrel_m15_seed42 | published |" in text(saved(tmp_path, found), tmp_path)


def test_what_each_method_was_trained_on_is_told(cells: Path, tmp_path: Path) -> None:
    assert "Trained on fewrel.jsonl.gz: EMMA as built; ZS-BERT." in text(cells, tmp_path)


def test_a_pre_training_that_was_left_out_is_told(tmp_path: Path) -> None:
    found = cell("fewrel_m15_seed42", "encoding-mask", "[MASK]", [row("published", "", None, 40.0)])
    found["history"] = [{"stage": "pairs-mask", "epoch": 0, "left_out": "5 pairs, 128 are needed"}]
    assert "[MASK] has no pre-training: 5 pairs, 128 are needed." in text(saved(tmp_path, found), tmp_path)


def test_the_classifiers_part_of_f1_is_told(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    assert "| fewrel_m15_seed42 | EMMA as built | catalogue | 5 | 77.50 | 75.00 | +2.50 |" in found
    assert "| ZS-BERT | published | 5" not in found


def test_what_paraphrases_add_is_told_beside_and_judges_no_method(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    assert "| EMMA as built | 1,200 of 60 | catalogue, one wording | recall only |  | 73.50 |" in found
    assert "73.50 (1)" not in found


def test_recall_at_k_is_told(cells: Path, tmp_path: Path) -> None:
    assert "| EMMA as built | catalogue | 91.0 | 92.0 | 93.0 | 95.0 | 100.0 |" in text(cells, tmp_path)


def test_what_was_missing_and_what_was_drawn_is_told(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    assert "8 test instances, at most 4 of a relation, 15 unseen relations" in found
    assert "missing from the data at hand: 1 relations are not whole, 3 instances less" in found


def test_cells_that_are_not_there_are_counted(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    assert "| EMMA as built | fewrel_m5_seed42, fewrel_m15_seed40, fewrel_m15_seed42 | 27 |" in found
    assert "| PromptMatch | – | 30 |" in found


def test_every_cell_stands_below_its_command(cells: Path, tmp_path: Path) -> None:
    found = text(cells, tmp_path)
    command = found.index("emma bench zero-shot --method zs-bert")
    assert found.index("zs-bert on fewrel_m15_seed42") > command


def test_the_open_set_has_its_table(cells: Path, tmp_path: Path) -> None:
    row = "| EMMA as built | fewrel_m5_seed42 | withheld | 40 | 44 | 0.910 | 0.920 | 0.40 | 80.0 | 60.0 | 68.6 | 12.0% "
    assert row + "| 30.0% | 0.200 | 0.150 | 0.050 |" in text(cells, tmp_path)


def test_a_share_of_nothing_is_a_dash(cells: Path, tmp_path: Path) -> None:
    row = "| EMMA as built | fewrel_m5_seed42 | 50 | 20 | 15.0% | 70.0% | 0 | – | 4 | 75.0% | 0.800 |"
    assert row in text(cells, tmp_path)


def test_plots_are_drawn_beside_the_table(cells: Path, tmp_path: Path) -> None:
    number = write(cells, tmp_path / "out" / "zero_shot.md")
    found = sorted(x.name for x in (tmp_path / "out" / "plots").iterdir())
    assert found == [
        "confusion-fewrel_m15_seed40.svg",
        "confusion-fewrel_m15_seed42.svg",
        "confusion-fewrel_m5_seed42.svg",
        "f1-against-cost.svg",
        "f1-against-k.svg",
        "f1-against-m-fewrel.svg",
        "reliability-fewrel_m15_seed40-withheld.svg",
        "reliability-fewrel_m15_seed42-withheld.svg",
        "reliability-fewrel_m5_seed42-withheld.svg",
        "risk-coverage.svg",
    ]
    assert number == len(found)


def test_a_method_without_candidates_needs_no_plot_of_them(tmp_path: Path) -> None:
    only = cell("fewrel_m15_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 41.25)])
    assert write(saved(tmp_path, only), tmp_path / "zero_shot.md") == 1


def test_the_same_cells_give_the_same_file(cells: Path, tmp_path: Path) -> None:
    assert text(cells, tmp_path) == text(cells, tmp_path)
