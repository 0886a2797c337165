from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from benchmarks.serving.client import Client
from benchmarks.serving.load import NO_ANSWER

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Listener:
    """A server that answers each request as it is told, and keeps what it got."""

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self.answer, self.closes = answer, closes
        self.connections = 0
        self.bodies: list[Any] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                self.bodies.append(json.loads(await reader.readexactly(length)))
                writer.write(self.answer)
                if self.closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def statuses(listener: Listener, rounds: int, at_once: int = 1, timeout: float = 10) -> list[int]:
    async def run() -> list[int]:
        server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Client(f"http://127.0.0.1:{port}", timeout) as client:
                send, found = client.poster("/extract"), list[int]()
                for _ in range(rounds):
                    found += await asyncio.gather(*(send({"text": "ü"}) for _ in range(at_once)))
                return found

    return asyncio.run(run())


@pytest.mark.parametrize("status", [200, 429])
def test_the_status_of_the_answer_is_given(status: int) -> None:
    listener = Listener(OK.replace(b"200", str(status).encode()))
    assert statuses(listener, 1) == [status]
    assert listener.bodies == [{"text": "ü"}]


def test_a_connection_is_kept_for_the_next_request() -> None:
    listener = Listener(OK)
    assert statuses(listener, 5) == [200] * 5
    assert listener.connections == 1


def test_there_are_as_many_connections_as_requests_at_once() -> None:
    listener = Listener(OK)
    assert statuses(listener, 2, at_once=4) == [200] * 8
    assert listener.connections == 4


def test_a_connection_that_the_server_has_closed_is_opened_anew() -> None:
    listener = Listener(OK, closes=True)
    assert statuses(listener, 3) == [200] * 3
    assert listener.connections == 3


def test_a_connection_that_the_server_will_close_is_not_kept() -> None:
    listener = Listener(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert statuses(listener, 2) == [200] * 2
    assert listener.connections == 2


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_no_answer_has_a_status_of_its_own(answer: bytes) -> None:
    assert statuses(Listener(answer, closes=True), 1) == [NO_ANSWER]


def test_an_answer_that_does_not_come_in_time_has_it_too() -> None:
    assert statuses(Listener(b""), 1, timeout=0.01) == [NO_ANSWER]


def test_a_server_that_is_not_there_has_it_too() -> None:
    async def run() -> int:
        async with Client("http://127.0.0.1:1") as client:
            return await client.poster("/extract")({})

    assert asyncio.run(run()) == NO_ANSWER
