from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import Bundle
from tests.service import postgresql
from tests.service.fakes import CATALOGUE_RELATIONS, REQUEST
from tests.service.processes import DidNotStartError, ServerProcess
from tests.service.workload import Writer, registered

pytestmark = pytest.mark.server

# A hundred and more find what ten do not; too slow for every run.
ROUNDS = int(os.environ.get("EMMA_TEST_KILLS", "8"))
WRITERS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Where the registry of the services is."""
    if request.param == "sqlite":
        yield {"data_dir": tmp_path}
    else:
        with postgresql.schema() as url:
            yield {"data_dir": tmp_path, "database_url": url}


def check(server: ServerProcess, writers: list[Writer]) -> None:
    found = registered(server.url)
    for writer in writers:
        writer.check(found)
    live = sum(description is not None for writer in writers for description in writer.known.values())
    assert len(found) == len(CATALOGUE_RELATIONS) + live
    assert httpx.get(f"{server.url}/info").json()["relations"] == len(found)


def test_what_was_acknowledged_survives_kill_9_and_nothing_is_half_done(
    bundle: Bundle, settings: dict[str, Any]
) -> None:
    moments = random.Random(19)
    writers = [Writer(f"w{number}", seed=19) for number in range(WRITERS)]
    for _ in range(ROUNDS):
        with ServerProcess(bundle.path, **settings) as server:
            check(server, writers)
            enough, acknowledged = threading.Event(), threading.Semaphore(0)
            threads = [
                threading.Thread(target=writer.work, args=(server.url, acknowledged, enough)) for writer in writers
            ]
            for thread in threads:
                thread.start()
            for _ in range(moments.randint(5, 60)):
                assert acknowledged.acquire(timeout=60)
            server.kill()
            for thread in threads:
                thread.join()
    with ServerProcess(bundle.path, **settings) as server:
        check(server, writers)


def test_a_second_process_on_the_data_directory_does_not_start(bundle: Bundle, tmp_path: Path) -> None:
    with ServerProcess(bundle.path, tmp_path), pytest.raises(DidNotStartError) as caught:
        ServerProcess(bundle.path, tmp_path)
    assert caught.value.code == 1
    [line] = caught.value.log
    assert "in use by another process" in line["reason"]


def test_told_to_stop_it_finishes_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    with ServerProcess(bundle.path, tmp_path) as server:
        assert httpx.post(f"{server.url}/extract", json=REQUEST).json()["relation"]["id"] == "P19"
        assert server.terminate() in (0, -signal.SIGTERM)
    assert [line["route"] for line in server.log if line["event"] == "request"] == ["/extract"]
    assert "Application shutdown complete." in [line["event"] for line in server.log]
    assert {line["level"] for line in server.log} == {"info"}
