"""The offline half of the command line: `emma train`, `adapt`, `evaluate`, `export`, `index`, `calibrate`, `build`.

torch and transformers are imported inside the commands, so that `emma serve` runs without them.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from models.bundle import load_bundle
from models.decision import Calibration
from models.flags import takes_fields_of
from models.job.recipe import SUREST, Recipe
from models.job.terminal import console, fail, progress, reported_errors
from models.relation import read_relations

if TYPE_CHECKING:
    from models.job.dataset import Example, TrainingData
    from models.job.evaluate import Report
    from models.job.scoring import Model

VERIFIED_ON = 500
"""Most instances that an export is verified on."""

Instances = Annotated[
    list[Path], typer.Option("--instances", help="Instance file (JSONL, may be gzipped); give the flag again for more.")
]
Relations = Annotated[
    list[Path],
    typer.Option("--relations", help="Relation file (JSONL); further ones add wordings to relations of the same id."),
]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="Split file with train, valid and test relations; without, all are seen.")
]
CheckpointDir = Annotated[Path, typer.Option("--checkpoint", help="Directory that `emma train` wrote.")]
BundleDir = Annotated[
    Path, typer.Option("--output", help="Directory of the bundle; a bundle that is there is replaced.")
]
Precision = Annotated[str, typer.Option("--graph-precision", help="int8 or fp32.")]
Name = Annotated[str, typer.Option("--name", help="Name of the model; every answer carries it.")]
Limit = Annotated[
    int, typer.Option("--limit", min=0, help="Most related and most unrelated pairs, drawn at random; 0 takes all.")
]
Test = Annotated[
    list[Path] | None, typer.Option("--test", help="Instance file never trained on, scored at the end; repeatable.")
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="FILE=ID,ID,…: leave out these relations of that instance file; repeatable."),
]


@takes_fields_of(Recipe)
def train(
    instances: Instances,
    relations: Relations,
    output: Annotated[Path, typer.Option("--output", help="Directory of the checkpoint; a killed run goes on in it.")],
    split: SplitFile = None,
    without: Without = None,
    **given: Any,
) -> None:
    """Train on instance files and relation files, and write a checkpoint directory."""
    with reported_errors():
        _trained(instances, relations, output, split, without or [], given)


def adapt(
    checkpoint: CheckpointDir,
    instances: Instances,
    relations: Relations,
    unlabelled: Annotated[
        list[Path],
        typer.Option("--unlabelled", help="Instance file whose relations are unknown or not looked at; repeatable."),
    ],
    catalogue: Annotated[Path, typer.Option("--catalogue", help="Relation file: what the text may hold.")],
    output: Annotated[
        Path, typer.Option("--output", help="Directory of the adapted checkpoint; a killed run goes on.")
    ],
    surest: Annotated[int, typer.Option("--surest", min=1, help="Most answers of a relation to learn from.")] = SUREST,
    split: SplitFile = None,
    without: Without = None,
) -> None:
    """Let a checkpoint learn relations that it has no examples of from its own answers on text without labels.

    `--instances` and `--relations` are those that it was trained on: half of each step is drawn from them.
    """
    with reported_errors():
        from models.job.checkpoint import load_checkpoint
        from models.job.dataset import read_examples
        from models.job.self_training import adapt as run

        trained = load_checkpoint(checkpoint)
        data = _read(trained.recipe, instances, relations, split, without or [])
        texts = list(dict.fromkeys(x.instance for path in unlabelled for x in read_examples(path)[0]))
        with progress() as bars:
            adapted = run(trained, data, texts, read_relations([catalogue]), output, bars, surest)
        said = adapted.training["self_training"]
        console.print(
            f"[green]checkpoint in {output}[/]; learnt from {said['answered']:,} answers on {said['unlabelled']:,} "
            "instances without labels"
        )


def evaluate(
    instances: Instances,
    relations: Relations,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Checkpoint to evaluate.")] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Bundle to evaluate.")] = None,
    split: SplitFile = None,
    part: Annotated[str, typer.Option("--part", help="Part of the split: test or valid.")] = "test",
    k: Annotated[
        list[int] | None, typer.Option("--k", min=1, help="Candidates that the classifier reads; repeatable.")
    ] = None,
    limit: Limit = 0,
    output: Annotated[Path | None, typer.Option("--output", help="JSON file for the figures.")] = None,
) -> None:
    """Score a checkpoint or a bundle: a table on the terminal, JSON beside it.

    With a split, the candidates are the relations of its part; without, those of the instance files.
    """
    with reported_errors():
        report = _evaluated(instances, relations, checkpoint, bundle, split, part, k or [2, 3, 5], limit)
        Console().print(report.table())
        if output is not None:
            output.write_text(json.dumps({"title": report.title, **report.figures}, indent=2) + "\n", encoding="utf-8")


def export(
    checkpoint: CheckpointDir,
    instances: Instances,
    relations: Relations,
    output: BundleDir,
    graph_precision: Precision = "int8",
    name: Name = "emma",
) -> None:
    """Turn a checkpoint into verified ONNX graphs: a bundle that has no relations yet.

    Up to 500 of the instances are what the graphs are verified on.
    """
    with reported_errors():
        _exported(checkpoint, instances, relations, output, graph_precision, name)


def index(
    bundle: Annotated[Path, typer.Option("--bundle", help="Bundle whose catalogue is replaced.")],
    relations: Relations,
) -> None:
    """Encode a relation catalogue and put it into a bundle."""
    with reported_errors():
        from models.job.build import index as run

        catalogue = list(read_relations(relations).values())
        run(bundle, catalogue)
        console.print(f"[green]{len(catalogue)} relations in {bundle}[/]")


def calibrate(
    bundle: Annotated[Path, typer.Option("--bundle", help="Bundle whose calibration is replaced.")],
    instances: Instances,
    relations: Relations,
    everything: Annotated[
        bool, typer.Option("--all/--held-out", help="Fit on all instances, or on what training held out of them.")
    ] = False,
    test: Test = None,
    limit: Limit = 0,
    without: Without = None,
) -> None:
    """Fit a bundle's scores and its threshold anew: on what its training held out, or on data of your own."""
    with reported_errors():
        from models.job.build import recipe_of
        from models.job.calibrate import FEWEST
        from models.job.dataset import validation_data

        recipe = recipe_of(load_bundle(bundle))
        if everything:
            files = _files(recipe.model_copy(update={"per_relation": 0}), instances, without or [])
            data = validation_data([x for file in files for x in file], read_relations(relations))
        else:
            data = _read(recipe, instances, relations, None, without or [])
        related = sum(x.relation is not None for x in data.valid)
        if related < FEWEST:
            fail(f"{related} related pairs to fit on, at least {FEWEST} are needed: give more instances, or --all")
        _calibrated(bundle, data)
        _tested(bundle, test or [], relations, limit)


@takes_fields_of(Recipe)
def build(
    instances: Instances,
    relations: Relations,
    catalogue: Annotated[Path, typer.Option("--catalogue", help="Relation file that the bundle comes with.")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="Directory of the checkpoint, made or gone on in.")],
    output: BundleDir,
    test: Test = None,
    limit: Limit = 0,
    graph_precision: Precision = "int8",
    name: Name = "emma",
    split: SplitFile = None,
    without: Without = None,
    **given: Any,
) -> None:
    """Train, export, index and calibrate in a row, and write what the bundle scores on the test files into it."""
    with reported_errors():
        from models.job.build import index as indexed

        data = _trained(instances, relations, checkpoint, split, without or [], given)
        shipped = read_relations(catalogue)
        _exported(checkpoint, instances, [catalogue], output, graph_precision, name)
        indexed(output, list(shipped.values()))
        # Others may have been trained on besides, which nobody chooses among.
        _calibrated(output, data.choosing_among(shipped.keys()))
        _tested(output, test or [], [catalogue], limit)
        console.print(f"[green]bundle in {output}[/]")


def _trained(
    instances: list[Path], relations: list[Path], output: Path, split: Path | None, without: list[str], given: Any
) -> TrainingData:
    from models.job.train import train as run

    recipe = Recipe(**given)
    data = _read(recipe, instances, relations, split, without)
    console.print(
        f"training on {len(data.train):,} instances of {len(data.train_relations)} relations, "
        f"choosing by {len(data.valid):,}, among {len(data.valid_relations)} relations"
    )
    with progress() as bars:
        checkpoint = run(recipe, data, output, bars)
    console.print(f"[green]checkpoint in {output}[/]; {json.dumps(checkpoint.calibration.to_json())}", soft_wrap=True)
    return data


def _read(
    recipe: Recipe, instances: list[Path], relations: list[Path], split: Path | None, without: list[str]
) -> TrainingData:
    from models.job.dataset import read_split, training_data
    from models.job.resemblance import read_resemblances

    return training_data(
        _files(recipe, instances, without),
        read_relations(relations),
        split=read_split(split) if split else None,
        valid_fraction=recipe.valid_fraction,
        seed=recipe.seed,
        resembling=read_resemblances(relations),
    )


def _files(recipe: Recipe, instances: list[Path], without: list[str]) -> list[list[Example]]:
    from models.job.dataset import read_examples

    barred = _barred(without, instances)
    files = []
    for path in instances:
        examples, skipped = read_examples(
            path, per_relation=recipe.per_relation, seed=recipe.seed, without=barred.get(path.name, frozenset())
        )
        files.append(examples)
        note = "".join(f"; left out {count} ({reason})" for reason, count in skipped.items())
        console.print(f"{path.name}: {len(examples):,} instances{note}")
    return files


def _calibrated(bundle: Path, data: TrainingData) -> None:
    from models.job.build import calibrate as run

    with console.status("calibrating"):
        calibration = run(bundle, data).calibration
    console.print(f"[green]calibrated {bundle}[/]; {json.dumps(calibration.to_json())}", soft_wrap=True)


def _tested(bundle: Path, test: list[Path], relations: list[Path], limit: int) -> None:
    from models.job.build import record

    if test:
        report = _evaluated(test, relations, None, bundle, None, "test", [3, 5], limit)
        Console().print(report.table())
        record(bundle, {"test": {"files": [path.name for path in test], **report.brief()}})


def _evaluated(
    instances: list[Path],
    relations: list[Path],
    checkpoint: Path | None,
    bundle: Path | None,
    split: Path | None,
    part: str,
    ks: list[int],
    limit: int,
) -> Report:
    from models.job.dataset import read_examples, read_split
    from models.job.evaluate import evaluate as run

    if (checkpoint is None) == (bundle is None):
        fail("give either --checkpoint or --bundle")
    if part not in ("test", "valid"):
        fail(f"--part is {part!r}: choose test or valid")
    model, calibration = _model(checkpoint, bundle)
    described = read_relations(relations)
    examples = [x for path in instances for x in read_examples(path)[0]]
    ids = {x.relation for x in examples if x.relation is not None}
    if split is not None:
        ids = set(getattr(read_split(split), part))
        examples = [x for x in examples if x.relation in ids or x.relation is None]
    if limit:
        examples = _drawn(examples, limit)
    missing = sorted(ids - described.keys())
    if missing:
        fail(f"no description of {', '.join(missing[:5])}: add them to a relation file")
    candidates = [described[name] for name in sorted(ids)]
    where = f"{split.stem} ({part})" if split else ", ".join(path.name for path in instances)
    with console.status("scoring"):
        return run(model, calibration, examples, candidates, ks, f"{(checkpoint or bundle or Path()).name} on {where}")


def _drawn(examples: list[Example], limit: int) -> list[Example]:
    draw = random.Random(0)
    drawn = []
    for related in (True, False):
        pool = [x for x in examples if (x.relation is not None) is related]
        drawn += draw.sample(pool, min(limit, len(pool)))
    return drawn


def _model(checkpoint: Path | None, bundle: Path | None) -> tuple[Model, Calibration | None]:
    if checkpoint is not None:
        from models.job.checkpoint import load_checkpoint

        loaded = load_checkpoint(checkpoint)
        return loaded, loaded.calibration if loaded.classifier is not None else None
    from models.runtime import Runtime

    runtime = Runtime(load_bundle(bundle or Path()))
    return runtime, runtime.bundle.calibration


def _exported(
    checkpoint: Path, instances: list[Path], relations: list[Path], output: Path, precision: str, name: str
) -> None:
    from models.job.build import export as run
    from models.job.checkpoint import load_checkpoint
    from models.job.dataset import read_examples

    if precision not in ("int8", "fp32"):
        fail(f"--graph-precision is {precision!r}: choose int8 or fp32")
    found = [x.instance for path in instances for x in read_examples(path)[0]]
    chosen = random.Random(0).sample(found, min(len(found), VERIFIED_ON))
    with console.status("exporting and verifying"):
        run(
            load_checkpoint(checkpoint, "cpu"),
            output,
            precision="int8" if precision == "int8" else "fp32",
            name=name,
            instances=chosen,
            relations=list(read_relations(relations).values()),
            say=lambda line: console.print(line, soft_wrap=True),
        )


def _barred(rules: list[str], instances: list[Path]) -> dict[str, frozenset[str]]:
    barred = {}
    for rule in rules:
        name, _, ids = rule.partition("=")
        if not ids or name not in {path.name for path in instances}:
            fail(f"--without {rule!r}: expected FILE=ID,ID,… with the name of one of the --instances files")
        barred[name] = frozenset(ids.split(","))
    return barred
