from __future__ import annotations

from benchmarks.serving.report import machine, table


def test_a_table_has_every_column_of_every_row() -> None:
    assert table("Load", [{"rate": 20.04}, {"rate": 3.14159, "statuses": {200: 5, 429: 1}}]).splitlines() == [
        "### Load",
        "",
        "| rate | statuses |",
        "|---:|---:|",
        "| 20.0 |  |",
        "| 3.14 | 200: 5, 429: 1 |",
    ]


def test_the_machine_is_named_with_the_versions_that_matter() -> None:
    assert "onnxruntime" in machine()
    assert "cores" in machine()
