"""Sending thousands of requests at once for little.

httpx looks at every open connection for each request: under overload it would take the processors from the service and
fall behind, and nothing would be overloaded.
"""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks.serving.load import NO_ANSWER, Body, Send

TIMEOUT_SECONDS = 60.0

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Connections to one server, as many as there are requests at once, kept for the next ones."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Open nothing yet."""
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._timeout_seconds = timeout_seconds
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    def poster(self, path: str) -> Send:
        """What posts a body to a path and gives the answer's status, 0 where none comes in time."""

        async def send(body: Body) -> int:
            content = json.dumps(body).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n\r\n"
            )
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._status(head.encode() + content)
            except (OSError, EOFError, ValueError, LookupError, TimeoutError):
                return NO_ANSWER

        return send

    async def _status(self, request: bytes) -> int:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._exchange(connection, request)
            except (ConnectionError, asyncio.IncompleteReadError):
                # The server had closed it meanwhile.
                continue
        return await self._exchange(await asyncio.open_connection(self._host, self._port), request)

    async def _exchange(self, connection: _Connection, request: bytes) -> int:
        reader, writer = connection
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = head.splitlines()
            fields = dict(line.split(": ", 1) for line in lines[1:] if line)
            await reader.readexactly(int(fields["content-length"]))
            kept = fields.get("connection") != "close"
            return int(lines[0].split()[1])
        finally:
            if kept:
                self._idle.append(connection)
            else:
                writer.close()
