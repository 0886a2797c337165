"""Following a registry that other processes write to.

A notification wakes; a poll and a look after every reconnection make up for those that were lost, so that nothing
but delay depends on notifications.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress

import structlog

from service.errors import RegistryUnavailableError, log_failure
from service.registry import Registry
from service.replica import Replica

PROBE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1

log = structlog.get_logger("service")


class Follower:
    """Keeps a replica up to date between `start` and `close`."""

    def __init__(self, replica: Replica, registry: Registry, poll_seconds: float) -> None:
        """Set up.

        Args:
            replica: to be kept up to date.
            registry: listened to.
            poll_seconds: after which it is looked at without a notification; a quarter more or less, so that
                processes that were started together do not ask together.
        """
        self._replica = replica
        self._registry = registry
        self._poll_seconds = poll_seconds
        self._thread = ThreadPoolExecutor(1, "emma-follower")
        self._wake = asyncio.Event()
        self._probe = uuid.uuid4().hex
        self._probed = asyncio.Event()
        self._listened = self._told = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._replica.on_wait = self._wake.set
        for work, name in ((self._follow(), "follow"), (self._listen(), "listen")):
            self._tasks.append(asyncio.create_task(work, name=name))

    async def close(self) -> None:
        """End, after the look that is being taken."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds * random.uniform(0.75, 1.25)):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await loop.run_in_executor(self._thread, self._replica.catch_up)
            except RegistryUnavailableError:
                # Logged by the replica when it begins, and tried again after the next pause.
                pass
            except Exception as error:
                log_failure(error)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with aclosing(self._registry.notifications()) as heard:
                    async for text in heard:
                        pause = FIRST_PAUSE_SECONDS
                        self._hear(text)
            except RegistryUnavailableError as error:
                self._tell_deaf(error.message)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, self._poll_seconds)

    def _tell_deaf(self, reason: str) -> None:
        """Say once when it never could listen; else the server has gone, which the replica tells of."""
        if self._listened or self._told:
            log.debug("not listening", reason=reason)
            return
        self._told = True
        log.warning(
            "cannot listen for changes",
            reason=reason,
            effect=self._late(),
            fix="see that the server answers at EMMA_LISTEN_URL, or at EMMA_DATABASE_URL if that is not set",
        )

    def _late(self) -> str:
        return f"changes of other processes are seen after up to {1.25 * self._poll_seconds:g} s"

    def _hear(self, text: str | None) -> None:
        if text is None:
            self._listened = True
            # Listening again: what was told before is lost.
            self._wake.set()
            if len(self._tasks) == 2:
                self._tasks.append(asyncio.create_task(self._check(), name="check"))
        elif text == self._probe:
            self._probed.set()
        elif not text.isdecimal() or int(text) > self._replica.version:
            self._wake.set()

    async def _check(self) -> None:
        """Say once when notifications do not arrive."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._registry.notify, self._probe)
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probed.wait()
        except TimeoutError:
            log.warning(
                "notifications do not arrive",
                reason="a pooler in transaction mode between this process and the database drops them",
                effect=self._late(),
                fix="set EMMA_LISTEN_URL to the same database's address past the pooler, or set EMMA_POLL_SECONDS",
            )
        except RegistryUnavailableError as error:
            log.debug("notifications were not checked", reason=error.message)
