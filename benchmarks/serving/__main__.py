"""Measure serving: `python -m benchmarks.serving COMMAND --help`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks.serving import http
from benchmarks.serving.load import Send, poster
from benchmarks.serving.model import Bench
from benchmarks.serving.process import Service
from benchmarks.serving.report import machine, table
from benchmarks.serving.work import bodies, instances, relations
from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.runtime import Runtime
from service.client import RelationClient

OWN = Path(__file__).parents[2] / "tests" / "data" / "instances.jsonl"
COUNTS = [15, 80, 1_000, 10_000]
AT_ONCE = 500
"""Relations that are registered in one request."""

ENCODING_SECONDS = 600.0
"""Until such a request is given up."""

Instances = Annotated[Path, typer.Option("--instances", help="JSONL of the sentences that are asked about.")]
BundleOption = Annotated[Path, typer.Option("--bundle", help="The bundle.")]
Sentences = Annotated[int, typer.Option("--sentences", min=1, help="Most sentences of the file.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="Of each run.")]

app = typer.Typer(help="Measure what the service costs and how it bears load.", no_args_is_help=True)


@app.command()
def model(
    instances_file: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    counts: Annotated[list[int], typer.Option("--relations", help="Numbers of relations.")] = COUNTS,
) -> None:
    """Measure extractions in process."""
    runtime = Runtime(load_bundle(bundle))
    known = runtime.bundle.relations()
    bench = Bench(runtime, known, instances(instances_file, sentences))
    # What is set up lazily is not to be measured.
    bench.batches([8], 1)
    print(table("Growth: wall milliseconds of a sentence", bench.growth(counts)))
    print(table("Stages: processor milliseconds of a sentence", bench.stages([1, 2, 3, 5])))
    print(table("Batches: milliseconds of a sentence", bench.batches([1, 2, 4, 8, 16, 32, 64], repeats=3)))
    print(table("Against reading every relation: processor milliseconds of a sentence", bench.against_every(counts)))
    print(machine())


@app.command()
def load(
    instances_file: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    seconds: Seconds = 20,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of the comparison with the bare model.")] = 3,
) -> None:
    """Measure the service under load, its own part of the cost beside the bare model's."""
    asked = instances(instances_file, sentences)
    runtime = Runtime(load_bundle(bundle))
    bench = Bench(runtime, runtime.bundle.relations(), asked)

    async def measure(service: Service, send: Send) -> None:
        sent = bodies(asked)
        await http.saturation(service, send, sent, seconds / 4)
        rows = []
        for _ in range(repeats):
            bare = min(bench.batches([8, 16, 32], 1), key=lambda row: float(row["cpu"]))
            full = await http.saturation(service, send, sent, seconds)
            rows.append({"bare cpu_ms": bare["cpu"], **full, "ratio": full["cpu_ms"] / bare["cpu"]})
        print(table("Overhead: 32 clients against the bare model at its best batch size", rows))
        rate = sorted(float(row["rate"]) for row in rows)[len(rows) // 2]
        print(table("At 70% of saturation", [await http.latency(send, sent, 0.7 * rate, seconds)]))
        print(table("At 200% of saturation", [await http.overload(send, sent, rate, 3 * seconds)]))

    _with_service(bundle, "/extract", measure)


@app.command()
def soak(
    instances_file: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    rounds: Annotated[int, typer.Option("--rounds", min=2)] = 20,
    seconds: Seconds = 60,
) -> None:
    """Measure memory under batches of varied size."""
    asked = instances(instances_file)

    async def measure(service: Service, send: Send) -> None:
        print(table("Memory", await http.soak(service, send, bodies(asked), rounds, seconds)))

    _with_service(bundle, "/extract/batch", measure)


@app.command()
def start(
    bundle: BundleOption = DEFAULT_BUNDLE,
    count: Annotated[int, typer.Option("--relations", min=1, help="Relations that are registered.")] = 10_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
) -> None:
    """Measure the time from start to ready with many registered relations."""
    made = relations(load_bundle(bundle).relations(), count)
    with tempfile.TemporaryDirectory() as folder:
        with (
            Service(Path(folder), bundle=bundle, deadline_seconds=ENCODING_SECONDS) as service,
            RelationClient(service.url, ENCODING_SECONDS) as client,
        ):
            for first in range(0, count, AT_ONCE):
                client.add_all(made[first : first + AT_ONCE])
        rows = []
        for _ in range(repeats):
            with Service(Path(folder), bundle=bundle) as service:
                served = httpx.get(f"{service.url}/info").json()["relations"]
                rows.append({"relations": served, "seconds": service.start_seconds})
    print(table("Start to ready", rows))
    print(machine())


def _with_service(bundle: Path, path: str, measure: Callable[[Service, Send], Awaitable[None]]) -> None:
    async def connect(service: Service) -> None:
        async with http.connected(service) as client:
            await measure(service, poster(client, path))

    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), bundle=bundle) as service:
        asyncio.run(connect(service))
    print(machine())


if __name__ == "__main__":
    app()
