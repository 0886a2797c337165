"""Requests that arrive together become one batch for the model, without anyone waiting for company.

While a worker is idle a batch is whatever waits; while all are busy a queue grows, and the next batch is its
oldest items. The queue is bounded, every wait has a deadline, and whoever gives up frees the places.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from models.text import InputError
from service.errors import DeadlineError, NotReadyError, OverloadedError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Result | Exception]
    since: float = field(default_factory=time.perf_counter)


class Batcher(Generic[Item, Result]):
    """Collects items and has them worked on in batches, as many batches at a time as there are workers.

    `work` runs in the executor. It gives one result for each item, in order, or an exception in place of the
    result of an item that is at fault; an exception that it raises fails the whole batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        executor: Executor,
        *,
        batch_size: int,
        queue_size: int,
        workers: int = 1,
        deadline_seconds: float,
        on_wait: Callable[[float], None] = lambda seconds: None,
        on_batch: Callable[[int], None] = lambda items: None,
    ) -> None:
        """Set up; `start` has to follow in a running event loop.

        Args:
            work: see above.
            executor: with no more threads than batches may be worked on, those of other batchers included.
            batch_size: items in a batch, at most.
            workers: batches that are worked on at once, at most.
            queue_size: items that may wait, at most. A group larger than that is let in when nothing waits.
            deadline_seconds: after which an item is given up.
            on_wait: told the seconds that each item waited.
            on_batch: told the number of items in each batch.
        """
        self._work = work
        self._executor = executor
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._deadline_seconds = deadline_seconds
        self._on_wait = on_wait
        self._on_batch = on_batch
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._idle = workers
        self._consumers: list[asyncio.Task[None]] = []

    @property
    def depth(self) -> int:
        """How many items wait."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to work on what is submitted."""
        self._consumers = [asyncio.create_task(self._consume(), name="batcher") for _ in range(self._idle)]

    async def close(self) -> None:
        """Fail what waits, finish the batches that are being worked on, and take nothing more."""
        self._closed = True
        for waiting in self._queue:
            if not waiting.future.done():
                waiting.future.set_exception(NotReadyError("the service is stopping"))
        self._queue.clear()
        self._wake.set()
        await asyncio.gather(*self._consumers)

    async def submit(self, items: Sequence[Item]) -> list[Result | Exception]:
        """Have items worked on; their results in order, an exception for an item that is at fault itself.

        Raises:
            OverloadedError: the queue has no room for all of them.
            DeadlineError: they were not done in time.
            NotReadyError: the service is stopping.
            Exception: what `work` raised for a batch with one of these items.
        """
        if self._closed:
            raise NotReadyError("the service is stopping")
        if self._queue and len(self._queue) + len(items) > self._queue_size:
            raise OverloadedError(
                f"{len(self._queue)} instances wait already and {self._queue_size} may, this request has {len(items)}: "
                "try again later, or set EMMA_QUEUE_SIZE"
            )
        loop = asyncio.get_running_loop()
        waiting = [_Waiting[Item, Result](item, loop.create_future()) for item in items]
        self._queue.extend(waiting)
        self._wake.set()
        futures = [entry.future for entry in waiting]
        try:
            _, late = await asyncio.wait(futures, timeout=self._deadline_seconds)
            if late:
                raise DeadlineError(
                    f"no answer within {self._deadline_seconds:g} s: try again later, or send less at once"
                )
        finally:
            self._forget(waiting)
        failures = [future.exception() for future in futures]
        for failure in failures:
            if failure is not None:
                raise failure
        return [future.result() for future in futures]

    def _forget(self, waiting: Sequence[_Waiting[Item, Result]]) -> None:
        pending = {entry for entry in waiting if not entry.future.done()}
        for entry in waiting:
            if entry in pending:
                entry.future.cancel()
            elif not entry.future.cancelled():
                # Looked at, so that asyncio does not report as lost what nobody waits for any more.
                entry.future.exception()
        if pending:
            self._queue = deque(entry for entry in self._queue if entry not in pending)

    async def _consume(self) -> None:
        while not self._closed:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            # What waits is shared among the workers that have nothing to do.
            size = min(self._batch_size, math.ceil(len(self._queue) / self._idle))
            batch = [self._queue.popleft() for _ in range(size)]
            self._idle -= 1
            try:
                await self._have_done(batch)
            finally:
                self._idle += 1

    async def _have_done(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        now = time.perf_counter()
        for waiting in batch:
            self._on_wait(now - waiting.since)
        self._on_batch(len(batch))
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._executor, self._work, [waiting.item for waiting in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
        else:
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(result)


def one_by_one(work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result | Exception]:
    """Work on all items at once, and where one is at fault, on each, so that only that one fails.

    >>> one_by_one(lambda items: [item.upper() for item in items], ["a", "b"])
    ['A', 'B']
    """
    try:
        return [*work(items)]
    except InputError:
        results: list[Result | Exception] = []
    for item in items:
        try:
            results.extend(work([item]))
        except InputError as error:
            results.append(error)
    return results
