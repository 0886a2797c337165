"""Commands that measure a service over HTTP."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks.serving import http
from benchmarks.serving.client import Client
from benchmarks.serving.infinity import Encoder, Infinity, requests, write_encoder
from benchmarks.serving.load import Send
from benchmarks.serving.model import Bench
from benchmarks.serving.options import (
    OWN,
    RESULTS,
    BundleOption,
    Instances,
    Repeats,
    Results,
    Seconds,
    Sentences,
    keep,
)
from benchmarks.serving.process import Server, Service
from benchmarks.serving.table import Row
from benchmarks.serving.work import bodies, instances, relations
from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.runtime import available_processors
from service.client import RelationClient

BEST = [8, 16, 32]
"""Sizes of a batch among which the best is taken of what infinity serves."""

AT_ONCE = 500
"""Relations that are registered in one request."""

ENCODING_SECONDS = 600.0
"""Until such a request is given up."""


def overhead(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    seconds: Seconds = 20,
    repeats: Repeats = 5,
    infinity: Annotated[
        Path | None, typer.Option("--infinity", help="The program infinity_emb, to be measured beside it.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """The service's own part of an answer's cost, under load."""
    bench = Bench.of(bundle, instances(asked, sentences))
    extractor = bench.extractor()
    rows: list[Row] = []

    def bare() -> float:
        return bench.together(extractor, available_processors())[0]

    async def measure(service: Server, send: Send) -> None:
        rows.append(await http.overhead(service, send, bodies(bench.asked), bare, seconds, repeats))

    _with_service(bundle, "/extract", measure)
    rows[0] = {"service": http.EMMA} | rows[0]
    if infinity is not None:
        rows.append({"service": http.INFINITY} | _infinity(bench, infinity, seconds, repeats))
    keep("overhead", rows, results)


def latency(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    shares: Annotated[list[float], typer.Option("--share", help="Of what it can bear; repeatable.")] = [  # noqa: B006
        0.1,
        0.3,
        0.5,
        0.7,
        0.8,
        0.9,
    ],
    seconds: Seconds = 30,
    repeats: Repeats = 3,
    results: Results = RESULTS,
) -> None:
    """Latency at constant rates."""
    sent = bodies(instances(asked, sentences))
    rows: list[Row] = []

    async def measure(service: Server, send: Send) -> None:
        rate, _, _ = await http.saturation(service, send, sent, seconds)
        rows.extend(await http.latency(send, sent, rate, shares, seconds, repeats))

    _with_service(bundle, "/extract", measure)
    keep("latency", rows, results)


def overload(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    seconds: Seconds = 60,
    repeats: Repeats = 3,
    results: Results = RESULTS,
) -> None:
    """Answers and refusals at twice what it can bear."""
    sent = bodies(instances(asked, sentences))
    rows: list[Row] = []

    async def measure(service: Server, send: Send) -> None:
        rows.append(await http.overload(service, send, sent, seconds / 3, seconds, repeats))

    _with_service(bundle, "/extract", measure)
    keep("overload", rows, results)


def soak(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    rounds: Annotated[int, typer.Option("--rounds", min=2)] = 20,
    seconds: Seconds = 60,
    results: Results = RESULTS,
) -> None:
    """Memory under batches of varied size and length."""
    rows: list[Row] = []

    async def measure(service: Server, send: Send) -> None:
        rows.extend(await http.soak(service, send, bodies(instances(asked)), rounds, seconds))

    _with_service(bundle, "/extract/batch", measure)
    keep("soak", rows, results)


def start(
    bundle: BundleOption = DEFAULT_BUNDLE,
    count: Annotated[int, typer.Option("--relations", min=1, help="Relations that are registered.")] = 10_000,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Time from start to ready with many registered relations, and what it took to register them."""
    made = relations(load_bundle(bundle).relations(), count)
    with tempfile.TemporaryDirectory() as folder:
        with (
            Service(Path(folder), bundle=bundle, deadline_seconds=ENCODING_SECONDS) as service,
            RelationClient(service.url, ENCODING_SECONDS) as client,
        ):
            before = service.cpu_seconds()
            for first in range(0, count, AT_ONCE):
                client.add_all(made[first : first + AT_ONCE])
            row: Row = {"relations": count, "registering_cpu_s": service.cpu_seconds() - before}
        row |= {"ready_s": [], "ready_cpu_s": []}
        for _ in range(repeats):
            with Service(Path(folder), bundle=bundle) as service:
                row["ready_s"].append(service.start_seconds)
                row["ready_cpu_s"].append(service.cpu_seconds())
                row["served"] = httpx.get(f"{service.url}/info").json()["relations"]
    keep("start", [row], results)


def _with_service(bundle: Path, path: str, measure: Callable[[Server, Send], Awaitable[None]]) -> None:
    # The same sentences come again and again: their answers are to be made each time.
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), bundle=bundle, cache_size=0) as service:
        _with_server(service, path, measure)


def _with_server(server: Server, path: str, measure: Callable[[Server, Send], Awaitable[None]]) -> None:
    async def connect() -> None:
        async with Client(server.url) as client:
            await measure(server, client.poster(path))

    asyncio.run(connect())


def _infinity(bench: Bench, program: Path, seconds: float, repeats: int) -> Row:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "encoder")
        write_encoder(bench.runtime, place)
        encoder = Encoder(bench.runtime, place, bench.asked)

        def bare() -> float:
            return min(encoder.cpu_ms(size) for size in BEST)

        async def measure(server: Server, send: Send) -> None:
            rows.append(await http.overhead(server, send, requests(bench.asked), bare, seconds, repeats))

        with Infinity(program, place, Path(folder, "infinity.log")) as server:
            _with_server(server, "/embeddings", measure)
    return rows[0]
