from __future__ import annotations

from benchmarks.serving.table import said, table


def test_a_table_has_every_column_of_every_row() -> None:
    assert table([{"rate": 20.04}, {"rate": 3.14159, "statuses": {"200": 5, "429": 1}}]).splitlines() == [
        "| rate | statuses |",
        "|---:|---:|",
        "| 20.0 |  |",
        "| 3.14 | 200: 5, 429: 1 |",
    ]


def test_of_repeats_the_median_is_told_and_the_least_and_the_largest() -> None:
    assert said([3.0, 1.0, 2.0]) == "2 (1–3)"


def test_one_repeat_is_told_without_brackets() -> None:
    assert said([3.5]) == "3.5"


def test_large_numbers_have_their_thousands_apart() -> None:
    assert (said(10_000), said(4_608.25)) == ("10,000", "4,608.2")
