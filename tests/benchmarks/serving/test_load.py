from __future__ import annotations

import asyncio
import math
import time

import pytest

from benchmarks.serving.load import Body, Run, Sent, closed_loop, open_loop

BODIES: list[Body] = [{"number": 0}, {"number": 1}]


class Answering:
    """Answers when it is let to, and knows how many wait."""

    def __init__(self) -> None:
        self.asked: list[Body] = []
        self.waiting = self.most = 0
        self.free = asyncio.Event()

    async def send(self, body: Body) -> int:
        self.asked.append(body)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.free.wait()
        self.waiting -= 1
        return 200


def test_the_open_loop_sends_on_while_nothing_is_answered() -> None:
    async def measure() -> tuple[Answering, Run]:
        service = Answering()

        async def send(body: Body) -> int:
            if len(service.asked) == 9:
                service.free.set()
            return await service.send(body)

        return service, await open_loop(send, BODIES, rate=1_000, duration=0.01)

    service, run = asyncio.run(measure())
    assert service.most == len(run.sent) == 10


def test_the_open_loop_counts_from_when_a_request_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    async def send(_body: Body) -> int:
        # Each answer takes a second in which nothing else is sent.
        nonlocal now
        now += 1
        return 200

    run = asyncio.run(open_loop(send, BODIES, rate=1_000, duration=0.003))
    assert sorted((x.due, x.seconds) for x in run.sent) == [
        (0.0, 1.0),
        (0.001, pytest.approx(1.999)),
        (0.002, pytest.approx(2.998)),
    ]


def test_the_bodies_are_sent_in_turn() -> None:
    async def measure() -> list[Body]:
        service = Answering()
        service.free.set()
        await open_loop(service.send, BODIES, rate=1_000, duration=0.005)
        return service.asked

    assert asyncio.run(measure()) == [*BODIES, *BODIES, BODIES[0]]


def test_the_closed_loop_has_as_many_requests_out_as_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure() -> tuple[int, int]:
        service = Answering()
        # Time stands still until all clients wait, and is over then.
        monkeypatch.setattr(time, "perf_counter", lambda: float(service.free.is_set()))

        async def send(body: Body) -> int:
            if service.waiting == 2:
                service.free.set()
            return await service.send(body)

        run = await closed_loop(send, BODIES, clients=3, duration=1)
        return service.most, len(run.sent)

    assert asyncio.run(measure()) == (3, 3)


RUN = Run([Sent(0, 1, 200), Sent(1, 3, 200), Sent(1, 0.5, 429)], duration=2)


def test_a_rate_is_of_one_status_and_over_the_time_to_the_last_answer() -> None:
    assert (RUN.rate(), RUN.rate(429)) == (0.5, 0.25)


def test_a_quantile_is_of_one_status() -> None:
    assert (RUN.quantile(0.5), RUN.quantile(0.5, 429)) == (2, 0.5)
    assert math.isnan(RUN.quantile(0.5, 503))


def test_statuses_are_counted() -> None:
    assert RUN.statuses() == {200: 2, 429: 1}
