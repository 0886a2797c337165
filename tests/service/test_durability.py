from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import httpx
import pytest

from models.bundle import Bundle
from tests.service.fakes import REQUEST
from tests.service.processes import DidNotStartError, ServerProcess

pytestmark = pytest.mark.server

ROUNDS = 3
WRITERS = 3


def write_until_cut(url: str, prefix: str, acknowledged: list[str], enough: threading.Semaphore) -> None:
    """Register one relation after the other until the connection breaks."""
    with httpx.Client(base_url=url, timeout=60) as client:
        number = 0
        while True:
            key = f"{prefix}-{number}"
            try:
                response = client.post("/relations", json={"id": key, "name": "x", "description": f"It is {key}."})
            except httpx.TransportError:
                return
            assert response.status_code == 201, response.text
            acknowledged.append(key)
            enough.release()
            number += 1


def registered(url: str) -> set[str]:
    ids: set[str] = set()
    cursor = None
    while True:
        query = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
        page = httpx.get(f"{url}/relations", params=query).json()
        ids |= {item["id"] for item in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            assert len(ids) == page["total"]
            return ids


def test_what_was_acknowledged_survives_kill_9(bundle: Bundle, tmp_path: Path) -> None:
    moments = random.Random(19)
    acknowledged: list[str] = []
    for round_number in range(ROUNDS):
        with ServerProcess(bundle.path, tmp_path) as server:
            assert set(acknowledged) <= registered(server.url)
            enough = threading.Semaphore(0)
            writers = [
                threading.Thread(
                    target=write_until_cut, args=(server.url, f"r{round_number}-{writer}", acknowledged, enough)
                )
                for writer in range(WRITERS)
            ]
            for writer in writers:
                writer.start()
            for _ in range(moments.randint(5, 60)):
                assert enough.acquire(timeout=60)
            server.kill()
            for writer in writers:
                writer.join()
    with ServerProcess(bundle.path, tmp_path) as server:
        found = registered(server.url)
        info = httpx.get(f"{server.url}/info").json()
    assert set(acknowledged) <= found
    assert info["relations"] == len(found)
    assert info["registry_version"] >= len(acknowledged)


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
