from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.report import SECTIONS, write
from benchmarks.serving.result import Result
from benchmarks.serving.table import Row

ROWS: dict[str, list[Row]] = {
    "every": [{"relations": n, "extraction_ms": [8.0, 9.0], "every_ms": [n * 4.0], "ratio": [n / 2]} for n in (15, 80)],
    "latency": [
        {"share": x, **{f"{name}_ms": [10 * x, 20 * x] for name in ("unloaded_p50", "p50", "p90", "p99")}, "ratio": [3]}
        for x in (0.3, 0.7)
    ],
    "start": [{"relations": 10_000, "ready_s": [2.0, 2.5, 4.0]}],
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        Result(name, f"measure {name}", "two cores", rows).write(tmp_path / "results")
    assert write(tmp_path / "results", tmp_path / "serving.md") == 2
    return tmp_path / "serving.md"


def test_what_was_measured_stands_there_with_its_command(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    headings = {x.result: f"## {x.title}" for x in SECTIONS}
    assert {headings[x] for x in ROWS} == {x for x in lines if x.startswith("## ")}
    assert {f"measure {x}" for x in ROWS} <= {*lines}


def test_what_was_not_measured_is_named_among_the_goals(page: Path) -> None:
    [soak] = [x for x in page.read_text(encoding="utf-8").splitlines() if x.startswith("| memory, MB")]
    assert soak == "| memory, MB | – | ≤ 700.0 | not measured |"


def test_a_goal_is_judged_by_the_median(page: Path) -> None:
    [start] = [x for x in page.read_text(encoding="utf-8").splitlines() if "from start to ready" in x]
    assert start.endswith("| 2.5 (2–4) | ≤ 3 | yes |")


def test_results_of_several_machines_are_told_apart(page: Path) -> None:
    Result("soak", "measure soak", "four cores", []).write(page.parent / "results")
    write(page.parent / "results", page)
    text = page.read_text(encoding="utf-8")
    assert "Machine of soak: four cores." in text
    assert "Machine of every, latency, start: two cores." in text


def test_the_plots_lie_beside_the_page(page: Path) -> None:
    assert sorted(x.name for x in (page.parent / "plots").iterdir()) == [
        "cost-against-relations.svg",
        "latency-against-load.svg",
    ]
