from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.machine import machine
from benchmarks.serving.result import Result, ResultError, measured, read_results, typed

RESULT = Result("growth", "python -m benchmarks.serving growth", "two cores", [{"relations": 15, "ms": [1.5, 2.0]}])


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "new")
    assert read_results(tmp_path / "new") == {"growth": RESULT}


def test_a_result_takes_the_place_of_the_one_of_its_name(tmp_path: Path) -> None:
    RESULT.write(tmp_path)
    Result("growth", "again", "two cores", []).write(tmp_path)
    assert read_results(tmp_path)["growth"].command == "again"


def test_each_row_is_a_line(tmp_path: Path) -> None:
    file = RESULT.write(tmp_path)
    assert '  {"relations": 15, "ms": [1.5, 2.0]}' in file.read_text(encoding="utf-8").splitlines()


def test_what_is_measured_is_told_with_this_machine() -> None:
    found = measured("soak", [{"round": 0}], ["soak", "--rounds", "1"])
    assert found == Result("soak", "python -m benchmarks.serving soak --rounds 1", machine(), [{"round": 0}])


def test_a_command_tells_no_place_of_this_machine() -> None:
    assert typed(["speed", "--pair", "/data/pairs/one", "--results", "here/results"]) == (
        "python -m benchmarks.serving speed --pair one --results here/results"
    )


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "soak.json").write_text('{"rows": []}')
    with pytest.raises(ResultError, match=r"soak\.json.*command"):
        read_results(tmp_path)
