from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.bench.report import headline, read_cells, write
from models.job.dataset import DataError


def row(described: str, variant: str, k: int | None, f1: float, **more: Any) -> dict[str, Any]:
    scores = {"precision": f1, "recall": f1, "f1": f1}
    answers = {"P19": {"P19": 3, "P50": 1}, "P50": {"P50": 4}}
    common = {"standard_error": 0.5, "answers": answers, "cpu_ms_per_sentence": 2.0}
    return {"descriptions": described, "variant": variant, "k": k, "paper": scores, "sklearn": scores} | common | more


def cell(split: str, method: str, title: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    dataset, unseen, seed = split.split("_")
    ranks = {str(k): 90.0 + k for k in (1, 2, 3, 5, 10)}
    described = {x["descriptions"] for x in rows}
    return {
        "split": split,
        "dataset": dataset,
        "unseen": int(unseen[1:]),
        "seed": seed[4:],
        "method": method,
        "title": title,
        "test": {"instances": 8, "per_relation": 4, "missing": "1 relations are not whole, 3 instances less"},
        "trained_on": {"for": split, "files": ["fewrel.jsonl.gz"], "instances": 1200, "relations": 60},
        "rows": rows
        + [{"descriptions": x, "variant": "recall@k", "recall_at": ranks} for x in sorted(described, reverse=True)],
        "history": [],
        "open_set": OPEN_SET if method == "emma" else [],
        "command": f"emma bench zero-shot --method {method}",
        "machine": {"hardware": "2 cores, no GPU", "python": "3.11.7", "torch": "2.13.0"},
    }


OPEN_SET: list[dict[str, Any]] = [
    {
        "set": "withheld",
        "pairs": 40,
        "unrelated": 44,
        "auroc": 0.91,
        "average_precision": 0.92,
        "threshold": 0.4,
        "precision": 80.0,
        "recall": 60.0,
        "f1": 68.6,
        "false_positives": 12.0,
        "false_positives_at_90_recall": 30.0,
        "aurc": 0.2,
        "risk_coverage": [[0.5, 0.1], [1.0, 0.4]],
        "ece_uncalibrated": 0.15,
        "ece": 0.05,
        "reliability": {"calibrated": [[0.3, 0.2, 5]], "uncalibrated": [[0.6, 0.2, 5]]},
    },
    {
        "set": "redocred_direction",
        "pairs": 50,
        "asymmetric": 20,
        "kept": 15.0,
        "null": 70.0,
        "with_inverse": 0,
        "inverse": None,
        "symmetric": 4,
        "symmetric_kept": 75.0,
        "auroc": 0.8,
    },
]

EMMA_ROWS = [
    row("published", "recall only", None, 70.0),
    row("published", "recall + classifier", 5, 71.0),
    row("catalogue", "recall only", None, 75.0),
    row("catalogue", "classifier only", 2, 74.0),
    row("catalogue", "recall + classifier", 2, 76.0),
    row("catalogue", "recall + classifier", 5, 77.5),
    row("catalogue, one wording", "recall only", None, 73.5),
]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    folder = tmp_path / "cells"
    folder.mkdir()
    found = [
        cell("fewrel_m15_seed42", "emma", "EMMA as built", EMMA_ROWS),
        cell("fewrel_m15_seed40", "emma", "EMMA as built", [x | {"cpu_ms_per_sentence": 3.0} for x in EMMA_ROWS]),
        cell("fewrel_m5_seed42", "emma", "EMMA as built", EMMA_ROWS),
        cell("fewrel_m15_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 41.25)]),
    ]
    for item in found:
        (folder / f"{item['split']}.{item['method']}.json").write_text(json.dumps(item))
    return folder


def text(cells: Path, tmp_path: Path) -> str:
    write(cells, tmp_path / "out" / "zero_shot.md")
    return (tmp_path / "out" / "zero_shot.md").read_text(encoding="utf-8")


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
    folder = tmp_path / "cells"
    folder.mkdir()
    (folder / "cell.json").write_text(json.dumps(found))
    assert "| ZS-BERT | 1,200 of 60, for fewrel_m15_seed42 | published |" in text(folder, tmp_path)


def test_what_each_method_was_trained_on_is_told(cells: Path, tmp_path: Path) -> None:
    assert "Trained on fewrel.jsonl.gz: EMMA as built; ZS-BERT." in text(cells, tmp_path)


def test_a_pre_training_that_was_left_out_is_told(tmp_path: Path) -> None:
    found = cell("fewrel_m15_seed42", "encoding-mask", "[MASK]", [row("published", "", None, 40.0)])
    found["history"] = [{"stage": "pairs-mask", "epoch": 0, "left_out": "5 pairs, 128 are needed"}]
    folder = tmp_path / "cells"
    folder.mkdir()
    (folder / "cell.json").write_text(json.dumps(found))
    assert "[MASK] has no pre-training: 5 pairs, 128 are needed." in text(folder, tmp_path)


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
    folder = tmp_path / "cells"
    folder.mkdir()
    only = cell("fewrel_m15_seed42", "zs-bert", "ZS-BERT", [row("published", "", None, 41.25)])
    (folder / "one.json").write_text(json.dumps(only))
    assert write(folder, tmp_path / "zero_shot.md") == 1


def test_the_same_cells_give_the_same_file(cells: Path, tmp_path: Path) -> None:
    assert text(cells, tmp_path) == text(cells, tmp_path)


def test_an_empty_directory_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no cells: run `emma bench zero-shot` first"):
        read_cells(tmp_path)


def test_a_file_that_is_no_cell_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match=r"other\.json: not a cell"):
        read_cells(tmp_path)
