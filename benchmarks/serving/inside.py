"""Commands that measure in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.serving import precision
from benchmarks.serving import search as searching
from benchmarks.serving import systems as runtimes
from benchmarks.serving.model import Bench
from benchmarks.serving.options import (
    OWN,
    RESULTS,
    BundleOption,
    Counts,
    Descriptions,
    Instances,
    Pair,
    Repeats,
    Results,
    Sentences,
    Sizes,
    keep,
)
from benchmarks.serving.table import Row
from benchmarks.serving.work import instances
from models.bench.data import read_split_data
from models.bundle import DEFAULT_BUNDLE
from models.job.recipe import Recipe
from models.runtime import available_processors

COUNTS = [15, 80, 1_000, 10_000]
SIZES = [1, 2, 4, 8, 16, 32, 64]


def growth(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    counts: Counts = COUNTS,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Time of an extraction by the number of relations."""
    keep("growth", Bench.of(bundle, instances(asked, sentences)).growth(counts, repeats), results)


def every(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    counts: Counts = COUNTS,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Cost of an extraction against reading the sentence with every relation."""
    keep("every", Bench.of(bundle, instances(asked, sentences)).against_every(counts, repeats), results)


def stages(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 100,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Cost of recall and classifier against recall alone."""
    keep("stages", Bench.of(bundle, instances(asked, sentences)).stages([1, 2, 3, 5], repeats), results)


def batches(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 256,
    sizes: Sizes = SIZES,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Time of an extraction by the size of the batch; 1 is a plain loop."""
    keep("batches", Bench.of(bundle, instances(asked, sentences)).batches(sizes, repeats), results)


def sharing(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 256,
    rows: Annotated[list[int], typer.Option("--rows", min=1, help="Rows of a call; repeatable.")] = [1, 2, 4, 8],  # noqa: B006
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Time of an extraction by how the processors share the reading."""
    bench = Bench.of(bundle, instances(asked, sentences))
    keep("sharing", bench.sharing(available_processors(), rows, repeats), results)


def company(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 500,
    sizes: Sizes = SIZES[1:],
    results: Results = RESULTS,
) -> None:
    """What the rest of a batch changes in a sentence's scores."""
    keep("company", Bench.of(bundle, instances(asked, sentences)).company(sizes), results)


def speed(
    pair: Pair,
    asked: Instances = OWN,
    sentences: Sentences = 256,
    sizes: Sizes = SIZES,
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Throughput in 8 bits against full precision."""
    found = instances(asked, sentences)
    full, small = (Bench.of(pair / x, found) for x in (precision.FULL, precision.SMALL))
    keep("speed", precision.speed(full, small, sizes, repeats), results)


def accuracy(
    data: Annotated[Path, typer.Option("--data", help="Directory of the public sets, with splits/ and descriptions/.")],
    pairs: Annotated[list[Path], typer.Option("--pair", help="As for speed; its name is that of a split. Repeatable.")],
    test_per_relation: Annotated[
        int, typer.Option("--test-per-relation", min=0, help="Most test instances of a relation; 0 takes all.")
    ] = 0,
    results: Results = RESULTS,
) -> None:
    """F1 that 8 bits lose on zero-shot splits."""
    rows: list[Row] = []
    for pair in pairs:
        split = read_split_data(
            data, pair.name, Recipe(), extra=False, catalogue=True, test_per_relation=test_per_relation
        )
        rows += precision.accuracy(pair, split)
    keep("accuracy", rows, results)


def systems(
    pair: Pair,
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="Which the pair was exported from.")],
    asked: Instances = OWN,
    sentences: Sentences = 256,
    sizes: Sizes = SIZES[:-1],
    repeats: Repeats = 5,
    results: Results = RESULTS,
) -> None:
    """Time of the two graphs in ONNX Runtime, PyTorch and, where it is installed, OpenVINO."""
    found = instances(asked, sentences)
    full, small = (Bench.of(pair / x, found, threads=None) for x in (precision.FULL, precision.SMALL))
    others = [*runtimes.openvino_bf16(full.runtime.bundle, full.runtime)]
    if not others:
        typer.echo("OpenVINO is left out: it is not installed", err=True)
    compared = [
        ("EMMA, int8", runtimes.served(small.runtime)),
        ("EMMA, fp32", runtimes.served(full.runtime)),
        runtimes.torch_bf16(checkpoint),
        *others,
    ]
    keep("systems", runtimes.compare(compared, runtimes.lists(small), sizes, repeats), results)


def search(
    asked: Instances = OWN,
    bundle: BundleOption = DEFAULT_BUNDLE,
    sentences: Sentences = 200,
    counts: Counts = [1_000, 10_000, 100_000, 1_000_000],  # noqa: B006 - typer reads the default
    kinds: Annotated[list[str], typer.Option("--index", help="Kind of index; repeatable.")] = [*searching.KINDS],  # noqa: B006
    graphs_to: Annotated[
        int, typer.Option("--graphs-to", min=0, help="Relations beyond which HNSW, hours in the making, is left out.")
    ] = 100_000,
    descriptions: Descriptions = None,
    results: Results = RESULTS,
) -> None:
    """Exact and approximate search by the number of relations."""
    bench = Bench.of(bundle, instances(asked, sentences))
    queries = bench.runtime.encode_instances(bench.runtime.prepare(bench.asked))
    keep("search", searching.search(bench.crowd(descriptions), queries, counts, kinds, graphs_to), results)
