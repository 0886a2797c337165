"""Load on a service: requests at a constant rate whatever the answers do, or as many as some clients can send."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Body = dict[str, Any]
Send = Callable[[Body], Awaitable[int]]

NO_ANSWER = 0
"""Stands for the status of a request whose connection failed or timed out."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was answered, or given up.

    Attributes:
        due: seconds from the start of the run at which it was to be sent.
        seconds: from then to its answer, so that a generator that falls behind does not hide a wait.
        status: of the answer; 0 where none came.
    """

    due: float
    seconds: float
    status: int


@dataclass(frozen=True, slots=True)
class Run:
    """The requests of one run, in no order, and how many seconds the sending was to take."""

    sent: list[Sent]
    duration: float

    def statuses(self) -> dict[int, int]:
        """How many answers had each status."""
        return dict(sorted(Counter(x.status for x in self.sent).items()))

    def rate(self, status: int = 200) -> float:
        """Answers of a status a second, over the time until the last request was answered."""
        last = max((x.due + x.seconds for x in self.sent), default=self.duration)
        return sum(x.status == status for x in self.sent) / max(self.duration, last)

    def quantile(self, share: float, status: int = 200) -> float:
        """Seconds within which a share of the answers of a status came; not a number where there is none."""
        seconds = [x.seconds for x in self.sent if x.status == status]
        return float(np.quantile(seconds, share)) if seconds else float("nan")


async def open_loop(send: Send, bodies: Sequence[Body], rate: float, duration: float) -> Run:
    """Send at a constant rate, each request at its time, however many are still unanswered.

    Args:
        send: sends a body, and gives the status of the answer.
        bodies: sent in turn.
        rate: requests a second.
        duration: seconds of sending; the answers are waited for.
    """
    start, sent = time.perf_counter(), list[Sent]()

    async def one(due: float, body: Body) -> None:
        status = await send(body)
        sent.append(Sent(due, time.perf_counter() - start - due, status))

    async with asyncio.TaskGroup() as group:
        for number, body in zip(range(round(rate * duration)), itertools.cycle(bodies), strict=False):
            due = number / rate
            await asyncio.sleep(start + due - time.perf_counter())
            group.create_task(one(due, body))
    return Run(sent, duration)


async def closed_loop(send: Send, bodies: Iterable[Body], clients: int, duration: float) -> Run:
    """Have clients send one request after the other.

    Args:
        send: as for `open_loop`.
        bodies: taken in turn by whichever client is free; a sequence begins anew when all were.
        clients: their number.
        duration: seconds after which no client begins another request.
    """
    start, sent = time.perf_counter(), list[Sent]()
    left = itertools.cycle(bodies) if isinstance(bodies, Sequence) else iter(bodies)

    async def one() -> None:
        while (due := time.perf_counter() - start) < duration:
            status = await send(next(left))
            sent.append(Sent(due, time.perf_counter() - start - due, status))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    return Run(sent, duration)
