"""This process's copy of the registry: the index, how far behind it may be, and who waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from service.errors import BehindError, RegistryUnavailableError
from service.index import RelationIndex
from service.registration import restore, synchronise
from service.registry import Registry

log = structlog.get_logger("service")


class Replica:
    """Brings the index up to the registry. Safe to call from several threads; they take turns."""

    def __init__(self, registry: Registry, index: RelationIndex) -> None:
        """Fill the index, which is empty.

        Raises:
            RegistryUnavailableError: the registry cannot be read.
        """
        self._registry = registry
        self._index = index
        self._turn = threading.Lock()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._complete_at = time.monotonic()
        self.reachable = True
        self.on_wait: Callable[[], None] = lambda: None
        """Called when somebody waits for a version that is not there yet."""
        with index.loading():
            restore(registry, index)
            self.catch_up()

    @property
    def version(self) -> int:
        """The version of the registry that extractions see."""
        return self._index.version

    def lag_seconds(self) -> float:
        """Seconds since the index was last known to have all that was written."""
        # What nobody else writes cannot have changed.
        return 0.0 if self.reachable and not self._registry.shared else time.monotonic() - self._complete_at

    def require_reachable(self) -> None:
        """Check that a registry that is polled could be read at last, without trying it.

        Each of the writes that wait would otherwise wait, one after the other, until the way to a server that has gone
        is given up. The next poll that succeeds lets them through again.

        Raises:
            RegistryUnavailableError: it could not.
        """
        if self._registry.shared and not self.reachable:
            raise RegistryUnavailableError(
                f"the registry cannot be reached, the last time was {self.lag_seconds():.0f} s ago: try again later"
            )

    def catch_up(self) -> None:
        """Apply what the registry has and the index has not.

        Raises:
            RegistryUnavailableError: the registry cannot be read; the index is as it was, or of a later version.
        """
        with self._turn:
            now = time.monotonic()
            try:
                synchronise(self._registry, self._index)
            except RegistryUnavailableError as error:
                if self.reachable:
                    log.warning("registry unavailable", reason=error.message, registry_version=self.version)
                self.reachable = False
                raise
            if not self.reachable:
                log.info("registry available again", after_seconds=round(self.lag_seconds(), 3))
            self.reachable = True
            self._complete_at = now
        self._tell()

    async def reach(self, version: int, seconds: float) -> None:
        """Wait until extractions see a version of the registry.

        Raises:
            BehindError: they do not after that many seconds.
        """
        waiting = version, asyncio.get_running_loop().create_future()
        # Before the comparison, so that what is applied after it is told.
        self._waiting.append(waiting)
        try:
            if self.version >= version:
                return
            self.on_wait()
            await asyncio.wait_for(waiting[1], seconds)
        except TimeoutError:
            raise BehindError(
                f"version {version} of the registry was asked for and {self.version} is known after {seconds:g} s: "
                "try again later"
            ) from None
        finally:
            self._waiting.remove(waiting)

    def _tell(self) -> None:
        for version, future in tuple(self._waiting):
            if self.version >= version:
                future.get_loop().call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
