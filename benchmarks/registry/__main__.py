"""Measure the registry: `python -m benchmarks.registry COMMAND --help`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.registry import report as reporting
from benchmarks.registry import services
from benchmarks.registry.million import Million
from benchmarks.serving.model import Bench
from benchmarks.serving.options import OWN, BundleOption, Descriptions, Instances, Repeats, Seconds, Sentences
from benchmarks.serving.result import measured
from benchmarks.serving.table import Row, table
from benchmarks.serving.work import instances
from models.bundle import DEFAULT_BUNDLE, load_bundle

SERVER = "postgresql://127.0.0.1:5432/test"
RESULTS = Path(__file__).parent / "results"

Results = Annotated[Path, typer.Option("--results", help="Folder of the results, one JSON file for each measurement.")]
Server = Annotated[
    str, typer.Option("--server", envvar="EMMA_TEST_POSTGRES_URL", help="PostgreSQL whose user may create schemas.")
]

app = typer.Typer(help="Measure what the registry and its index cost.", no_args_is_help=True)


@app.command()
def million(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    descriptions: Descriptions = None,
    sentences: Sentences = 300,
    relations: Annotated[int, typer.Option("--relations", min=10_000, help="How many.")] = 1_000_000,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where the registry is made, or was by a run that filled it.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """A registry of very many relations in SQLite, from filling it to making its index anew."""
    bench = Bench.of(bundle, instances(asked, sentences))
    queries = bench.runtime.encode_instances(bench.runtime.prepare(bench.asked))
    fingerprint = bench.runtime.bundle.manifest.fingerprint
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        measurement = Million(place, bench.crowd(descriptions), queries, relations, fingerprint)
        measurement.run()
    _keep("million", measurement.rows, results)


@app.command()
def visible(
    bundle: BundleOption = DEFAULT_BUNDLE,
    server: Server = SERVER,
    times: Annotated[int, typer.Option("--times", min=1, help="Registrations of each repeat.")] = 200,
    repeats: Repeats = 3,
    results: Results = RESULTS,
) -> None:
    """How soon one service knows what another one has registered, on one PostgreSQL."""
    _keep("visible", services.visible(bundle, server, load_bundle(bundle).relations(), times, repeats), results)


@app.command()
def registrations(
    bundle: BundleOption = DEFAULT_BUNDLE,
    server: Server = SERVER,
    seconds: Seconds = 5,
    repeats: Repeats = 3,
    results: Results = RESULTS,
) -> None:
    """Registrations a second over HTTP, one by one and many at once, in SQLite and in PostgreSQL."""
    known = load_bundle(bundle).relations()
    _keep("registrations", services.registrations(bundle, server, known, seconds, repeats), results)


@app.command()
def report(
    results: Results = RESULTS,
    output: Annotated[Path, typer.Option("--output", help="Markdown file.")] = Path("benchmarks/registry.md"),
) -> None:
    """Write the tables of all results that are there."""
    reporting.write(results, output)
    typer.echo(output)


def _keep(name: str, rows: Sequence[Row], folder: Path) -> None:
    print(table(rows))
    print(measured(name, rows, sys.argv[1:], "benchmarks.registry").write(folder))


if __name__ == "__main__":
    app()
