from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import service
from service.cli import app


def test_a_start_that_fails_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from service.cli import app; app()", "serve", "--bundle", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"]) == ("cannot start", "error")
    assert f"no bundle at {tmp_path}" in entry["reason"]


def test_the_version_is_the_packages() -> None:
    output = CliRunner().invoke(app, ["--version"]).output.strip()
    assert output == service.__version__
    try:
        assert output == version("emma-re")
    except PackageNotFoundError:
        assert output == "0.0.0"


def test_without_a_command_the_help_is_shown() -> None:
    output = CliRunner().invoke(app, []).output
    for command in ("serve", "extract", "relations"):
        assert command in output


@pytest.mark.parametrize("command", ["list", "add", "import", "export", "reindex"])
def test_relations_has_its_commands(command: str) -> None:
    assert CliRunner().invoke(app, ["relations", command, "--help"]).exit_code == 0
