"""Measure serving: `python -m benchmarks.serving COMMAND --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.serving import inside, outside
from benchmarks.serving import report as reporting
from benchmarks.serving.options import RESULTS, Results

app = typer.Typer(help="Measure what the service costs and how it bears load.", no_args_is_help=True)
for command in (
    *(inside.growth, inside.every, inside.stages, inside.batches, inside.sharing, inside.company),
    *(inside.speed, inside.accuracy, inside.systems, inside.search),
    *(outside.overhead, outside.latency, outside.overload, outside.soak, outside.start),
):
    app.command()(command)


@app.command()
def report(
    results: Results = RESULTS,
    output: Annotated[Path, typer.Option("--output", help="Markdown file; plots go into plots/ beside it.")] = Path(
        "benchmarks/serving.md"
    ),
) -> None:
    """Write the tables and plots of all results that are there."""
    typer.echo(f"{output} and {reporting.write(results, output)} plots")


if __name__ == "__main__":
    app()
