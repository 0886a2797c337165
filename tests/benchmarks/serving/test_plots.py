from __future__ import annotations

from pathlib import Path

from benchmarks.serving.plots import cost_against_relations, latency_against_load
from tests.models.bench.test_plots import texts

LATENCY = [
    {"share": x, **{f"{name}_ms": [20 * x, 30 * x] for name in ("unloaded_p50", "p50", "p90", "p99")}}
    for x in (0.3, 0.9)
]
COST = [{"relations": n, "extraction_ms": [9.0], "every_ms": [4.0 * n]} for n in (15, 10_000)]


def test_latency_has_its_percentiles_and_units(tmp_path: Path) -> None:
    latency_against_load(LATENCY, tmp_path / "latency.svg")
    expected = {"latency (milliseconds)", "50% are sooner", "99% are sooner", "median, one at a time"}
    assert expected <= {*texts(tmp_path / "latency.svg")}


def test_cost_has_both_ways_and_the_numbers_of_relations(tmp_path: Path) -> None:
    cost_against_relations(COST, tmp_path / "cost.svg")
    assert {"EMMA", "reading every relation", "10,000"} <= {*texts(tmp_path / "cost.svg")}


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    latency_against_load(LATENCY, tmp_path / "one.svg")
    latency_against_load(LATENCY, tmp_path / "other.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
