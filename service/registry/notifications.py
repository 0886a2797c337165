"""Telling other processes that the registry has changed: fast, and lost without a word when a connection is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import psycopg
from sqlalchemy import URL, Connection, func, select

from service.errors import RegistryUnavailableError
from service.registry.database import arguments
from service.registry.location import is_shared

CHANNEL = "emma_registry"


def notify(connection: Connection, text: str) -> None:
    """Tell every process that listens, when the transaction is committed; nothing happens where only one may."""
    if is_shared(connection.engine.url):
        connection.execute(select(func.pg_notify(CHANNEL, text)))


async def notifications(url: URL) -> AsyncGenerator[str | None]:
    """What is told from now on, on a connection of its own; first None, when it has begun to listen.

    Raises:
        RegistryUnavailableError: the connection is lost, and what was told since with it.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(**arguments(url), autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            yield None
            async with aclosing(connection.notifies()) as heard:
                async for notification in heard:
                    yield notification.payload
    except psycopg.Error as error:
        raise RegistryUnavailableError(f"cannot listen for changes: {' '.join(str(error).split())}") from error
