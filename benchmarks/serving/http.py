"""How the service bears load: its own part of the cost, its latency, overload, start and memory."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import numpy as np

from benchmarks.serving.load import NO_ANSWER, Body, Run, Send, closed_loop, open_loop
from benchmarks.serving.process import Service
from benchmarks.serving.report import Row

CLIENTS = 32
TIMEOUT_SECONDS = 60.0
OVERLOADED = 429


def connected(service: Service) -> httpx.AsyncClient:
    """A client without a bound on its connections: a generator's own queue would hide the service's."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=service.url, limits=limits, timeout=TIMEOUT_SECONDS)


async def saturation(service: Service, send: Send, bodies: Sequence[Body], seconds: float) -> Row:
    """Extractions a second of 32 clients, and the service's processor time for each."""
    before = service.cpu_seconds()
    run = await closed_loop(send, bodies, CLIENTS, seconds)
    used = service.cpu_seconds() - before
    return {"rate": run.rate(), "cpu_ms": 1000 * used / max(1, len(run.sent)), **_answers(run)}


async def latency(send: Send, bodies: Sequence[Body], rate: float, seconds: float) -> Row:
    """Unloaded, one request at a time, and at a constant rate."""
    alone = await closed_loop(send, bodies, 1, seconds)
    loaded = await open_loop(send, bodies, rate, seconds)
    unloaded = alone.quantile(0.5)
    return {
        "rate": rate,
        "unloaded_p50_ms": 1000 * unloaded,
        **{f"p{p}_ms": 1000 * loaded.quantile(p / 100) for p in (50, 90, 99)},
        "ratio": loaded.quantile(0.99) / unloaded,
        **_answers(loaded),
    }


async def overload(send: Send, bodies: Sequence[Body], rate: float, seconds: float) -> Row:
    """Twice what it can bear: what is still answered, and how soon the rest is sent away."""
    run = await open_loop(send, bodies, 2 * rate, seconds)
    return {
        "offered": 2 * rate,
        "goodput": run.rate(),
        "ratio": run.rate() / rate,
        "refused_p99_ms": 1000 * run.quantile(0.99, OVERLOADED),
        **_answers(run),
    }


async def soak(service: Service, send: Send, bodies: Sequence[Body], rounds: int, seconds: float) -> list[Row]:
    """Memory after each round of varied batches, the first of which is the warm-up."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(rounds):
        sizes = draw.integers(1, 64, size=200)
        varied = [{"items": [bodies[i] for i in draw.integers(0, len(bodies), size=n)]} for n in sizes]
        run = await closed_loop(send, varied, 4, seconds)
        rows.append({"round": number, "resident_mb": service.resident_bytes() / 1e6, **_answers(run)})
    return rows


def _answers(run: Run) -> Row:
    statuses = run.statuses()
    return {"requests": len(run.sent), "unanswered": statuses.get(NO_ANSWER, 0), "statuses": statuses}
