"""What several commands take, and how they keep what they measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.serving.result import measured
from benchmarks.serving.table import Row, table

OWN = Path(__file__).parents[2] / "tests" / "data" / "instances.jsonl"
RESULTS = Path(__file__).parent / "results"

Instances = Annotated[Path, typer.Option("--instances", help="JSONL of the sentences that are asked about.")]
BundleOption = Annotated[Path, typer.Option("--bundle", help="The bundle.")]
Pair = Annotated[Path, typer.Option("--pair", help="Directory of one model's two bundles, fp32 and int8.")]
Sentences = Annotated[int, typer.Option("--sentences", min=1, help="Most sentences of the file, drawn at random.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="Of each run.")]
Repeats = Annotated[int, typer.Option("--repeats", min=1, help="Of each measurement.")]
Counts = Annotated[list[int], typer.Option("--relations", min=1, help="Number of relations; repeatable.")]
Sizes = Annotated[list[int], typer.Option("--batch", min=1, help="Sentences in a batch; repeatable.")]
Descriptions = Annotated[
    Path | None,
    typer.Option("--descriptions", help="Relation file whose descriptions the vectors lie around; else the bundle's."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results, one JSON file for each measurement.")]


def keep(name: str, rows: Sequence[Row], folder: Path) -> None:
    """Print rows, and write them with the command that this process was started with."""
    print(table(rows))
    print(measured(name, rows, sys.argv[1:]).write(folder))
