from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.registry import DirectoryLock
from service.registry.schema import head
from tests.service import postgresql


def upgrade(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["db", "upgrade", *map(str, arguments)], env={"COLUMNS": "300"})


def test_upgrade_makes_a_registry_and_says_when_there_is_nothing_to_do(data_dir: Path) -> None:
    first, second = (upgrade("--data-dir", data_dir) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == f"the registry {data_dir}/registry.db is at schema {head()} now, before it was empty\n"
    assert second.stdout == f"the registry {data_dir}/registry.db has schema {head()} already\n"


def test_upgrade_reads_the_database_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with postgresql.schema() as url:
        monkeypatch.setenv("EMMA_DATABASE_URL", url)
        assert f"is at schema {head()} now, before it was empty" in upgrade().stdout


def test_upgrade_refuses_while_a_service_has_the_directory(data_dir: Path) -> None:
    lock = DirectoryLock(data_dir)
    refused = upgrade("--data-dir", data_dir)
    lock.release()
    assert refused.exit_code == 1
    assert "in use by another process" in refused.stderr
