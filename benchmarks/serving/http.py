"""How a service bears load: its own part of the cost, its latency, overload and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.serving.load import NO_ANSWER, Body, Run, Send, closed_loop, open_loop
from benchmarks.serving.process import Server
from benchmarks.serving.stopwatch import Stopwatch
from benchmarks.serving.table import Row
from benchmarks.serving.work import SEED

CLIENTS = 32
OVERLOADED = 429

EMMA, INFINITY = "EMMA, /extract", "infinity, /embeddings"
"""Services that are compared, with the path that is asked."""

MOST_ITEMS, BATCHES, SOAKING_CLIENTS = 64, 200, 4
"""Of the soak: largest batch, batches that are sent in turn, and clients that send them."""


async def saturation(server: Server, send: Send, bodies: Sequence[Body], seconds: float) -> tuple[float, float, Run]:
    """Answers a second to 32 clients, the service's processor milliseconds for each, and the run."""
    before = server.cpu_seconds()
    run = await closed_loop(send, bodies, CLIENTS, seconds)
    used = server.cpu_seconds() - before
    return run.rate(), 1000 * used / max(1, len(run.sent)), run


async def overhead(
    server: Server,
    send: Send,
    bodies: Sequence[Body],
    bare: Callable[[], float],
    seconds: float,
    repeats: int,
) -> Row:
    """Processor time of an answer under load, by turns with that of the bare model.

    Args:
        server: what is measured.
        send: sends it a body.
        bodies: sent in turn.
        bare: processor milliseconds for each of them in process, measured anew with each call.
        seconds: of each run.
        repeats: of both.
    """
    # What is set up lazily is not to be measured.
    await saturation(server, send, bodies, seconds / 4)
    row: Row = {"bare_ms": [], "cpu_ms": [], "added_ms": [], "ratio": [], "rate": []}
    runs = []
    for _ in range(repeats):
        alone = bare()
        rate, cpu, run = await saturation(server, send, bodies, seconds)
        for name, value in zip(row, (alone, cpu, cpu - alone, cpu / alone, rate), strict=True):
            row[name].append(value)
        runs.append(run)
    return row | _answers(runs)


async def latency(
    send: Send, bodies: Sequence[Body], rate: float, shares: Sequence[float], seconds: float, repeats: int
) -> list[Row]:
    """At constant rates, shares of what it can bear in turn, each beside unloaded: one request at a time.

    `ratio` is of the 99th percentile to the unloaded median.
    """
    rows: list[Row] = []
    for share in shares:
        row: Row = {"share": share, "offered": share * rate}
        row |= {name: [] for name in ("unloaded_p50_ms", "p50_ms", "p90_ms", "p99_ms", "ratio")}
        runs = []
        for _ in range(repeats):
            alone = await closed_loop(send, bodies, 1, seconds / 2)
            run = await open_loop(send, bodies, share * rate, seconds)
            unloaded = alone.quantile(0.5)
            row["unloaded_p50_ms"].append(1000 * unloaded)
            for p in (50, 90, 99):
                row[f"p{p}_ms"].append(1000 * run.quantile(p / 100))
            row["ratio"].append(run.quantile(0.99) / unloaded)
            runs.append(run)
        rows.append(row | _answers(runs))
    return rows


async def overload(
    server: Server, send: Send, bodies: Sequence[Body], seconds: float, overloaded_seconds: float, repeats: int
) -> Row:
    """Twice what it can bear: what is still answered, and how soon the rest is sent away.

    What it can bear is measured anew before each repeat; `sender_cores` are the processors that the sending takes
    from the service, which runs on the same machine.
    """
    row: Row = {
        name: [] for name in ("saturation", "offered", "goodput", "ratio", "refused_p50_ms", "refused_p99_ms")
    } | {"answered_p99_ms": [], "sender_cores": []}
    runs = []
    for _ in range(repeats):
        rate, _, _ = await saturation(server, send, bodies, seconds)
        watch = Stopwatch()
        run = await open_loop(send, bodies, 2 * rate, overloaded_seconds)
        cores = watch.cpu_ms() / watch.wall_ms()
        for name, value in (
            ("saturation", rate),
            ("offered", 2 * rate),
            ("goodput", run.rate()),
            ("ratio", run.rate() / rate),
            ("refused_p50_ms", 1000 * run.quantile(0.5, OVERLOADED)),
            ("refused_p99_ms", 1000 * run.quantile(0.99, OVERLOADED)),
            ("answered_p99_ms", 1000 * run.quantile(0.99)),
            ("sender_cores", cores),
        ):
            row[name].append(value)
        runs.append(run)
    # Where nothing was refused, there is no time to a refusal.
    return {name: kept for name, values in row.items() if (kept := [x for x in values if x == x])} | _answers(runs)


async def soak(server: Server, send: Send, bodies: Sequence[Body], rounds: int, seconds: float) -> list[Row]:
    """Memory after each round of varied batches, the first of which is the warm-up; `ratio` is to that.

    A batch has sentences of similar length, from the shortest to the longest, so that its shape varies both ways.
    """
    draw = np.random.default_rng(SEED)
    by_length = sorted(bodies, key=lambda x: len(x["sentence"]))
    rows: list[Row] = []
    for number in range(rounds):
        sizes = draw.integers(1, MOST_ITEMS, size=BATCHES).tolist()
        starts = [int(draw.integers(0, max(1, len(by_length) - size))) for size in sizes]
        batches = [{"items": by_length[start : start + size]} for start, size in zip(starts, sizes, strict=True)]
        run = await closed_loop(send, batches, SOAKING_CLIENTS, seconds)
        used = server.resident_bytes() / 1e6
        first = rows[0]["resident_mb"] if rows else used
        rows.append({"round": number, "resident_mb": used, "ratio": used / first, **_answers([run])})
    return rows


def _answers(runs: Sequence[Run]) -> Row:
    statuses: Counter[int] = Counter()
    for run in runs:
        statuses.update(run.statuses())
    lost = statuses.pop(NO_ANSWER, 0)
    return {
        "requests": sum(len(run.sent) for run in runs),
        "unanswered": lost,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
    }
