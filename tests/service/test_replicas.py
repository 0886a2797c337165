"""Three services on one database, disturbed while they are written to and read from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from tests.service import postgresql
from tests.service.fakes import REQUEST
from tests.service.processes import ServerProcess
from tests.service.workload import Writer, registered

pytestmark = pytest.mark.server

REPLICAS = 3


@pytest.fixture(params=["direct", "pooled"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "direct":
        with postgresql.schema() as url:
            yield url
    else:
        with postgresql.pooled(tmp_path) as (url, _):
            yield url


@pytest.fixture
def servers(bundle: Bundle, database: str, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    settings: dict[str, Any] = {"database_url": database, "poll_seconds": 0.5}
    with ExitStack() as stack:
        yield [
            stack.enter_context(ServerProcess(bundle.path, tmp_path / "unused", **settings)) for _ in range(REPLICAS)
        ]


def search(url: str, **narrowed: object) -> httpx.Response:
    return httpx.post(f"{url}/extract", json={**REQUEST, "top_k": 1, **narrowed}, timeout=120)


def read(url: str, enough: threading.Event, versions: list[int]) -> None:
    """Extract until there are enough, and note the versions that were searched."""
    while not enough.is_set():
        response = search(url)
        assert response.status_code == 200, response.text
        versions.append(response.json()["registry_version"])


def test_disturbed_replicas_lose_nothing_never_go_back_and_come_to_agree(servers: list[ServerProcess]) -> None:
    writers = [Writer(f"w{number}", seed=23) for number in range(REPLICAS)]
    versions: list[list[int]] = [[] for _ in servers]
    enough, acknowledged = threading.Event(), threading.Semaphore(0)
    threads = [
        threading.Thread(target=writer.work, args=(server.url, acknowledged, enough))
        for server, writer in zip(servers, writers, strict=True)
    ] + [
        threading.Thread(target=read, args=(server.url, enough, seen))
        for server, seen in zip(servers, versions, strict=True)
    ]
    for thread in threads:
        thread.start()

    def written(times: int) -> None:
        for _ in range(times):
            assert acknowledged.acquire(timeout=120)

    try:
        for server in servers:
            written(10)
            postgresql.end_listeners()
            server.pause()
            # It may have been stopped while all others wait for it: the database then ends its transaction.
            written(10)
            server.resume()
        written(10)
    finally:
        enough.set()
        for thread in threads:
            thread.join()

    for seen in versions:
        assert seen == sorted(seen)
    final = max(httpx.get(f"{server.url}/info").json()["registry_version"] for server in servers)
    found = registered(servers[0].url)
    for writer in writers:
        writer.check(found)
    for server in servers:
        answer = search(server.url, min_version=final)
        assert (answer.status_code, answer.json()["registry_version"]) == (200, final)
        assert registered(server.url) == found
        assert httpx.get(f"{server.url}/info").json()["relations"] == len(found)
        assert search(server.url, relations=sorted(found)).status_code == 200
        for writer in writers:
            deleted = [key for key, description in writer.known.items() if description is None]
            assert deleted
            assert [search(server.url, relations=[key]).status_code for key in deleted] == [422] * len(deleted)
