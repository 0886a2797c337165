from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

import service
from models.bundle import Bundle
from service import keys
from service.cli import app
from tests.service.conftest import READER
from tests.service.processes import ServerProcess


def test_a_start_that_fails_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from service.cli import app; app()", "serve", "--bundle", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"]) == ("cannot start", "error")
    assert f"no bundle at {tmp_path}" in entry["reason"]


@pytest.mark.server
def test_on_sighup_the_api_keys_are_read_again_and_the_service_goes_on(
    bundle: Bundle, data_dir: Path, keys_file: Path
) -> None:
    with ServerProcess(bundle.path, data_dir, api_keys_file=keys_file) as server:
        added = {"Authorization": f"Bearer {keys.add(keys_file, 'new', 'read')}"}
        keys.remove(keys_file, "reader")
        before = [httpx.get(f"{server.url}/info", headers=key).status_code for key in (added, READER)]
        server.hang_up()
        assert before == [401, 200]
        # The signal may arrive after the first of the requests that follow it.
        assert any(httpx.get(f"{server.url}/info", headers=added).status_code == 200 for _ in range(1_000))
        assert httpx.get(f"{server.url}/info", headers=READER).status_code == 401


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
