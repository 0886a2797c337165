from __future__ import annotations

from pathlib import Path

from benchmarks.registry.report import write
from benchmarks.serving.result import measured


def test_the_page_has_a_table_and_the_command_of_each_result(tmp_path: Path) -> None:
    rows = [{"what": "fill", "seconds": 12.5}]
    measured("million", rows, ["million", "--relations", "10"], "benchmarks.registry").write(tmp_path / "results")
    write(tmp_path / "results", tmp_path / "registry.md")
    page = (tmp_path / "registry.md").read_text()
    assert "## A million relations" in page
    assert "| fill | 12.5 |" in page
    assert "python -m benchmarks.registry million --relations 10" in page
    assert "## Registrations" not in page
