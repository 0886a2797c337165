"""Registering over HTTP: how many a second, and how soon another service knows of it."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.registry.database import schema
from benchmarks.serving.client import Client
from benchmarks.serving.load import Body, Run, closed_loop
from benchmarks.serving.process import Service
from benchmarks.serving.table import Row
from models.relation import Relation

BULK = 100
"""Relations in a request of many."""

CLIENTS = (1, 16)
CREATED = 201


@contextmanager
def services(bundle: Path, server: str | None, count: int = 1) -> Iterator[list[Service]]:
    """New services on one new registry: in the schema of a server, or where there is none in a file."""
    with ExitStack() as stack:
        place = {} if server is None else {"database_url": stack.enter_context(schema(server))}
        made = []
        for _ in range(count):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made.append(stack.enter_context(Service(folder, bundle=bundle, log_level="warning", **place)))
        yield made


def visible(bundle: Path, server: str, known: Sequence[Relation], times: int, repeats: int) -> list[Row]:
    """Milliseconds from a 201 of one service until another one searches the relation, and until its own answer.

    The other one is asked for its version again and again; one such question is what can be told apart at best.
    """
    row: Row = {"registrations": times, "p50_ms": [], "p99_ms": [], "most_ms": [], "asking_ms": []}
    with services(bundle, server, count=2) as (first, second), httpx.Client() as client:
        bodies = _bodies(known)
        for _ in range(repeats):
            taken, asking = [], []
            for body in itertools.islice(bodies, times):
                answer = client.post(f"{first.url}/relations", json=body).raise_for_status()
                start = last = time.perf_counter()
                while client.get(f"{second.url}/info").json()["registry_version"] < answer.json()["version"]:
                    last = time.perf_counter()
                taken.append(1000 * (time.perf_counter() - start))
                asking.append(1000 * (time.perf_counter() - last))
            row["p50_ms"].append(float(np.median(taken)))
            row["p99_ms"].append(float(np.quantile(taken, 0.99)))
            row["most_ms"].append(max(taken))
            row["asking_ms"].append(float(np.median(asking)))
    return [row]


def registrations(bundle: Path, server: str, known: Sequence[Relation], seconds: float, repeats: int) -> list[Row]:
    """Relations a second that are registered, their descriptions encoded included."""
    rows: list[Row] = []
    ways: list[tuple[str, int, int]] = [*(("/relations", n, 1) for n in CLIENTS), ("/relations/batch", 1, BULK)]
    for registry, place in (("SQLite", None), ("PostgreSQL", server)):
        with services(bundle, place) as [service]:
            single = _bodies(known)
            for path, clients, size in ways:
                row: Row = {"registry": registry, "clients": clients, "relations_a_request": size}
                row |= {"per_second": [], "p50_ms": [], "p99_ms": [], "statuses": {}}
                for _ in range(repeats):
                    bodies = single if size == 1 else _bulk(single)
                    run = asyncio.run(_load(service.url, path, bodies, clients, seconds))
                    row["per_second"].append(size * run.rate(CREATED))
                    row["p50_ms"].append(1000 * run.quantile(0.5, CREATED))
                    row["p99_ms"].append(1000 * run.quantile(0.99, CREATED))
                    for status, times in run.statuses().items():
                        row["statuses"][str(status)] = row["statuses"].get(str(status), 0) + times
                rows.append(row)
    return rows


async def _load(url: str, path: str, bodies: Iterator[Body], clients: int, seconds: float) -> Run:
    async with Client(url) as client:
        return await closed_loop(client.poster(path), bodies, clients, seconds)


def _bodies(known: Sequence[Relation]) -> Iterator[Body]:
    """Without end, and no two alike."""
    for number, relation in enumerate(itertools.cycle(known)):
        yield {"id": f"{relation.id}.new{number}", "name": relation.name, "description": relation.description}


def _bulk(single: Iterator[Body]) -> Iterator[Body]:
    while True:
        yield {"items": list(itertools.islice(single, BULK))}
