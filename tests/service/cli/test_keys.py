from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.keys import Keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "api-keys"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["keys", *map(str, arguments)], env={"COLUMNS": "200"})


def test_add_prints_the_key_and_nothing_else_on_standard_output(file: Path) -> None:
    result = run("add", "loader", "--role", "write", "--file", file)
    assert result.exit_code == 0
    found = Keys(file).find(result.stdout.removesuffix("\n").encode())
    assert found is not None
    assert (found.id, found.role) == ("loader", "write")


def test_a_key_that_is_added_may_read_only_if_nothing_else_is_said(file: Path) -> None:
    run("add", "reader", "--file", file)
    assert "reader read " in file.read_text()


def test_the_file_is_the_services_if_no_other_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMMA_API_KEYS_FILE", str(file))
    run("add", "loader")
    assert file.is_file()


def test_without_a_file_the_variable_and_the_flag_are_named() -> None:
    result = run("add", "loader")
    assert result.exit_code == 2
    assert "--file" in result.stderr
    assert "EMMA_API_KEYS_FILE" in result.stderr


def test_an_id_that_is_taken_is_one_line_and_no_key(file: Path) -> None:
    run("add", "loader", "--file", file)
    again = run("add", "loader", "--file", file)
    assert (again.exit_code, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert "has a key 'loader' already" in again.stderr


def test_list_shows_ids_and_roles_but_no_digests(file: Path) -> None:
    run("add", "loader", "--role", "write", "--file", file)
    output = run("list", "--file", file).stdout
    assert "loader" in output
    assert "write" in output
    assert file.read_text().split()[2] not in output


def test_remove_takes_the_key_out_of_the_file(file: Path) -> None:
    run("add", "loader", "--file", file)
    assert run("remove", "loader", "--file", file).exit_code == 0
    assert file.read_text() == ""


@pytest.mark.parametrize("command", [["list"], ["remove", "loader"]])
def test_a_file_that_is_not_there_is_one_line(file: Path, command: list[str]) -> None:
    result = run(*command, "--file", file)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "cannot read the file of API keys" in result.stderr
