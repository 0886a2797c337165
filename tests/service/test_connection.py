from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.connection import while_connected
from service.errors import ClientGoneError

pytestmark = pytest.mark.anyio


def request(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


async def test_the_works_result_is_the_result() -> None:
    async def work() -> int:
        return 3

    assert await while_connected(request(asyncio.Event()), work()) == 3


async def test_the_works_exception_is_raised() -> None:
    async def work() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await while_connected(request(asyncio.Event()), work())


async def test_when_the_client_goes_the_work_is_cancelled() -> None:
    gone, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        gone.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(ClientGoneError):
        await while_connected(request(gone), work())
    assert cancelled.is_set()


async def test_when_the_request_is_cancelled_so_is_the_work() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(while_connected(request(asyncio.Event()), work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
