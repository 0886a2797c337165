from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.text import InputError
from service.batching import Batcher, one_by_one
from service.errors import DeadlineError, NotReadyError, OverloadedError

pytestmark = pytest.mark.anyio


class Worker:
    """Doubles numbers in batches. Clear `go` to hold it; `entered` is set in the loop when a batch has begun."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.batches: list[list[int]] = []
        self.begun = asyncio.Semaphore(0)
        self.loop = asyncio.get_running_loop()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.loop.call_soon_threadsafe(self.begun.release)
        if not self.go.wait(timeout=60):
            raise TimeoutError("a test held the worker and never let it go")
        if 13 in items:
            raise RuntimeError("thirteen")
        return [InputError("sentence", "zero") if item == 0 else 2 * item for item in items]


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.go.set()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


class Started:
    """A batcher with small limits, started and closed."""

    def __init__(self, worker: Worker, executor: ThreadPoolExecutor) -> None:
        self.worker = worker
        self.executor = executor
        self.waits: list[float] = []
        self.batcher: Batcher[int, int] | None = None

    def __call__(
        self, batch_size: int = 4, queue_size: int = 8, deadline_seconds: float = 60, workers: int = 1
    ) -> Batcher[int, int]:
        self.batcher = Batcher(
            self.worker,
            self.executor,
            batch_size=batch_size,
            queue_size=queue_size,
            workers=workers,
            deadline_seconds=deadline_seconds,
            on_wait=self.waits.append,
        )
        self.batcher.start()
        return self.batcher


@pytest.fixture
async def start(worker: Worker, executor: ThreadPoolExecutor) -> AsyncIterator[Started]:
    started = Started(worker, executor)
    yield started
    worker.go.set()
    if started.batcher is not None:
        await started.batcher.close()


async def hold(worker: Worker, batcher: Batcher[int, int]) -> asyncio.Task[list[int | Exception]]:
    """Occupy the worker with a batch of its own."""
    worker.go.clear()
    task = asyncio.create_task(batcher.submit([1]))
    await worker.begun.acquire()
    return task


async def settle() -> None:
    """Let everything run that can run without the worker."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_results_come_in_the_order_of_the_items(start: Started) -> None:
    assert await start().submit([3, 1, 2]) == [6, 2, 4]


async def test_an_item_that_comes_while_the_worker_is_idle_does_not_wait_for_others(
    start: Started, worker: Worker
) -> None:
    assert await start().submit([1]) == [2]
    assert worker.batches == [[1]]


async def test_what_comes_while_the_worker_is_busy_shares_a_batch(start: Started, worker: Worker) -> None:
    batcher = start()
    first = await hold(worker, batcher)
    others = [asyncio.create_task(batcher.submit([number])) for number in (2, 3, 4)]
    await settle()
    worker.go.set()
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert worker.batches == [[1], [2, 3, 4]]


async def test_the_oldest_go_first_and_a_group_larger_than_a_batch_is_split(start: Started, worker: Worker) -> None:
    batcher = start(batch_size=2)
    first = await hold(worker, batcher)
    others = [asyncio.create_task(batcher.submit(group)) for group in ([2, 3, 4], [5, 6])]
    await settle()
    worker.go.set()
    assert await asyncio.gather(first, *others) == [[2], [4, 6, 8], [10, 12]]
    assert worker.batches == [[1], [2, 3], [4, 5], [6]]


async def test_a_second_worker_takes_what_comes_while_the_first_is_busy(start: Started, worker: Worker) -> None:
    batcher = start(workers=2)
    first = await hold(worker, batcher)
    second = asyncio.create_task(batcher.submit([2]))
    await worker.begun.acquire()
    third = asyncio.create_task(batcher.submit([3]))
    await settle()
    assert worker.batches == [[1], [2]]
    worker.go.set()
    assert [*await asyncio.gather(first, second, third)] == [[2], [4], [6]]


async def test_what_waits_is_shared_among_idle_workers(start: Started, worker: Worker) -> None:
    assert await start(workers=2).submit([1, 2, 3]) == [2, 4, 6]
    assert sorted(worker.batches) == [[1, 2], [3]]


async def test_closing_finishes_what_every_worker_does(start: Started, worker: Worker) -> None:
    batcher = start(workers=2)
    first = await hold(worker, batcher)
    second = asyncio.create_task(batcher.submit([2]))
    await worker.begun.acquire()
    closing = asyncio.create_task(batcher.close())
    await settle()
    assert not closing.done()
    worker.go.set()
    await closing
    assert [*await asyncio.gather(first, second)] == [[2], [4]]


async def test_beyond_the_queue_there_is_no_place(start: Started, worker: Worker) -> None:
    batcher = start(queue_size=2)
    first = await hold(worker, batcher)
    waiting = asyncio.create_task(batcher.submit([2, 3]))
    await settle()
    with pytest.raises(OverloadedError, match="2 instances wait already and 2 may, this request has 1"):
        await batcher.submit([4])
    worker.go.set()
    assert [*await asyncio.gather(first, waiting)] == [[2], [4, 6]]


async def test_a_group_larger_than_the_queue_is_let_in_when_nothing_waits(start: Started) -> None:
    assert await start(queue_size=1).submit(list(range(1, 7))) == [2, 4, 6, 8, 10, 12]


async def test_after_the_deadline_the_wait_is_over_and_the_place_free(start: Started, worker: Worker) -> None:
    batcher = start(deadline_seconds=0.01)
    first = await hold(worker, batcher)
    with pytest.raises(DeadlineError, match=r"no answer within 0\.01 s"):
        await batcher.submit([2])
    assert batcher.depth == 0
    worker.go.set()
    with pytest.raises(DeadlineError):
        await first


async def test_whoever_gives_up_frees_the_place_and_is_not_worked_on(start: Started, worker: Worker) -> None:
    batcher = start()
    first = await hold(worker, batcher)
    given_up = asyncio.create_task(batcher.submit([2, 3]))
    staying = asyncio.create_task(batcher.submit([4]))
    await settle()
    assert batcher.depth == 3
    given_up.cancel()
    await settle()
    assert batcher.depth == 1
    worker.go.set()
    assert [*await asyncio.gather(first, staying)] == [[2], [8]]
    assert worker.batches == [[1], [4]]


async def test_whoever_gives_up_while_being_worked_on_does_not_disturb_the_batch(
    start: Started, worker: Worker
) -> None:
    batcher = start()
    first = await hold(worker, batcher)
    first.cancel()
    later = asyncio.create_task(batcher.submit([2]))
    await settle()
    worker.go.set()
    assert await later == [4]


async def test_an_exception_reaches_the_requests_of_its_batch_and_no_others(start: Started, worker: Worker) -> None:
    batcher = start(batch_size=2)
    first = await hold(worker, batcher)
    others = [asyncio.create_task(batcher.submit([number])) for number in (12, 13, 14)]
    await settle()
    worker.go.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(result) for result in results] == [list, RuntimeError, RuntimeError, list]


async def test_a_group_that_is_split_fails_as_a_whole(start: Started) -> None:
    with pytest.raises(RuntimeError, match="thirteen"):
        await start(batch_size=1).submit([1, 13, 13])


async def test_an_item_at_fault_is_answered_with_its_fault_alone(start: Started) -> None:
    first, second, third = await start().submit([1, 0, 2])
    assert (first, third) == (2, 4)
    assert isinstance(second, InputError)


async def test_too_few_results_are_an_error_and_not_somebody_elses_answer(executor: ThreadPoolExecutor) -> None:
    batcher: Batcher[int, int] = Batcher(
        lambda items: items[:-1], executor, batch_size=4, queue_size=4, deadline_seconds=60
    )
    batcher.start()
    with pytest.raises(RuntimeError, match="1 results for 2 items"):
        await batcher.submit([1, 2])
    await batcher.close()


async def test_closing_fails_what_waits_and_finishes_what_runs(start: Started, worker: Worker) -> None:
    batcher = start()
    running = await hold(worker, batcher)
    waiting = asyncio.create_task(batcher.submit([2]))
    await settle()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(NotReadyError):
        await waiting
    assert not closing.done()
    worker.go.set()
    await closing
    assert await running == [2]
    assert worker.batches == [[1]]


async def test_after_closing_nothing_is_taken(start: Started) -> None:
    batcher = start()
    await batcher.close()
    with pytest.raises(NotReadyError):
        await batcher.submit([1])


async def test_each_items_wait_is_told(start: Started) -> None:
    await start().submit([1, 2, 3])
    assert len(start.waits) == 3
    assert min(start.waits) >= 0


async def test_one_by_one_only_the_item_at_fault_fails() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 0 in items:
            raise InputError("sentence", "zero")
        return [2 * item for item in items]

    first, second, third = one_by_one(work, [1, 0, 3])
    assert (first, third) == (2, 6)
    assert isinstance(second, InputError)
