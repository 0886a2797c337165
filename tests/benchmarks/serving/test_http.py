from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.serving import http
from benchmarks.serving.load import NO_ANSWER, Body, Send
from benchmarks.serving.table import Row


class Idle:
    """A server that uses a second of a processor between two looks, and 1 MB more."""

    def __init__(self) -> None:
        self.looks = 0

    def cpu_seconds(self) -> float:
        self.looks += 1
        return float(self.looks)

    def resident_bytes(self) -> int:
        self.looks += 1
        return self.looks * 10**6


SERVER: Any = Idle
BODIES: list[Body] = [{"sentence": "a" * n} for n in range(1, 80)]


async def answered(_body: Body) -> int:
    await asyncio.sleep(0.001)
    return 200


def test_overhead_is_the_processor_time_of_an_answer_beside_the_bare_models() -> None:
    row = asyncio.run(http.overhead(SERVER(), answered, BODIES, lambda: 0.5, seconds=0.02, repeats=2))
    assert row["bare_ms"] == [0.5, 0.5]
    assert row["added_ms"] == [x - 0.5 for x in row["cpu_ms"]]
    assert row["ratio"] == [x / 0.5 for x in row["cpu_ms"]]
    assert row["statuses"] == {"200": row["requests"]}


def test_latency_is_told_by_the_share_of_what_it_can_bear() -> None:
    rows = asyncio.run(http.latency(answered, BODIES, 500, [0.1, 0.7], seconds=0.05, repeats=2))
    assert [(x["share"], x["offered"]) for x in rows] == [(0.1, 50), (0.7, 350)]
    assert all(len(row[name]) == 2 for row in rows for name in ("unloaded_p50_ms", "p50_ms", "p99_ms", "ratio"))


def test_overload_offers_twice_of_what_was_found() -> None:
    row = asyncio.run(http.overload(SERVER(), answered, BODIES, seconds=0.05, overloaded_seconds=0.02, repeats=2))
    assert row["offered"] == [2 * x for x in row["saturation"]]
    assert row["ratio"] == [a / b for a, b in zip(row["goodput"], row["saturation"], strict=True)]


def test_overload_tells_how_soon_it_refuses_where_it_does() -> None:
    async def busy(body: Body) -> int:
        await asyncio.sleep(0.001)
        return 429 if len(body["sentence"]) % 2 else 200

    def measured(send: Send) -> Row:
        return asyncio.run(http.overload(SERVER(), send, BODIES, seconds=0.05, overloaded_seconds=0.02, repeats=1))

    assert measured(busy)["refused_p99_ms"][0] >= 1
    assert "refused_p99_ms" not in measured(answered)


def test_requests_without_an_answer_are_counted_by_themselves() -> None:
    async def lost(_body: Body) -> int:
        await asyncio.sleep(0.001)
        return NO_ANSWER

    [row] = asyncio.run(http.latency(lost, BODIES, 500, [0.5], seconds=0.02, repeats=2))
    assert row["unanswered"] == row["requests"] > 0
    assert row["statuses"] == {}


def test_a_soak_sends_batches_of_varied_size_each_of_similar_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SOAKING_CLIENTS", 1)
    sent: list[Body] = []

    async def send(body: Body) -> int:
        sent.append(body)
        return await answered(body)

    rows = asyncio.run(http.soak(SERVER(), send, BODIES[::-1], rounds=2, seconds=0.03))
    assert [(x["round"], x["resident_mb"], x["ratio"]) for x in rows] == [(0, 1, 1), (1, 2, 2)]
    lengths = [[len(x["sentence"]) for x in body["items"]] for body in sent]
    assert all(x == [*range(x[0], x[0] + len(x))] for x in lengths)
    assert len({len(x) for x in lengths}) > 1 < len({x[0] for x in lengths})
