"""A disk that is full and a database that is read-only, under a service that runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from service.registry.location import NAME
from tests.service.fakes import CATALOGUE_RELATIONS, REQUEST
from tests.service.processes import ServerProcess
from tests.service.workload import registered

pytestmark = pytest.mark.server

LONG = "The head teaches the tail. " * 20


def teachers(number: int, count: int = 20) -> dict[str, Any]:
    return {"items": [{"id": f"T{number}.{i}", "name": "teacher", "description": LONG} for i in range(count)]}


def check_refused(answer: httpx.Response, reason: str) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    error = answer.json()["error"]
    assert error["type"] == "registry_unavailable"
    assert error["message"].startswith("the registry cannot be used now: ")
    assert reason in error["message"]


def sound(data_dir: Path) -> bool:
    with sqlite3.connect(data_dir / NAME) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    return found == [("ok",)]


def test_on_a_full_disk_writes_are_refused_extraction_goes_on_and_nothing_is_lost(
    bundle: Bundle, tmp_path: Path
) -> None:
    written: set[str] = set()
    with ServerProcess(bundle.path, tmp_path) as server:
        log = next(tmp_path.glob("*-wal")).stat().st_size
        # The disk has room for a few writes more, and ends in the middle of one.
        server.limit_files(log + 300_000)
        answers = [httpx.post(f"{server.url}/relations/batch", json=teachers(n)) for n in range(12)]
        for number, answer in enumerate(answers):
            if answer.status_code == 201:
                written |= {item["id"] for item in teachers(number)["items"]}
        assert answers[0].status_code == 201
        check_refused(answers[-1], "disk")
        assert httpx.post(f"{server.url}/extract", json=REQUEST).json()["relation"]["id"] == "P19"
        assert {*registered(server.url)} == {x.id for x in CATALOGUE_RELATIONS} | written
        # Once there is room again, so are writes.
        server.limit_files(None)
        assert httpx.post(f"{server.url}/relations/batch", json=teachers(12)).status_code == 201
        written |= {item["id"] for item in teachers(12)["items"]}
    assert sound(tmp_path)
    with ServerProcess(bundle.path, tmp_path) as server:
        assert {*registered(server.url)} == {x.id for x in CATALOGUE_RELATIONS} | written


def without_privileges() -> Sequence[str]:
    """What makes a program of root's keep to the permissions of files."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write to any file, and there is no setpriv to take that from a process")
    return ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override", "--")


def test_on_a_read_only_database_writes_are_refused_and_extraction_goes_on(bundle: Bundle, tmp_path: Path) -> None:
    wrapper = without_privileges()
    with ServerProcess(bundle.path, tmp_path) as server:
        httpx.post(f"{server.url}/relations/batch", json=teachers(0)).raise_for_status()
    (tmp_path / NAME).chmod(0o444)
    with ServerProcess(bundle.path, tmp_path, wrapper) as server:
        check_refused(httpx.post(f"{server.url}/relations/batch", json=teachers(1)), "readonly")
        check_refused(httpx.delete(f"{server.url}/relations/P19"), "readonly")
        assert httpx.post(f"{server.url}/extract", json=REQUEST).json()["relation"]["id"] == "P19"
        before = registered(server.url)
    (tmp_path / NAME).chmod(0o644)
    assert sound(tmp_path)
    with ServerProcess(bundle.path, tmp_path) as server:
        assert registered(server.url) == before
        assert httpx.post(f"{server.url}/relations/batch", json=teachers(1)).status_code == 201
