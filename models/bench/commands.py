"""`emma bench`: train and test methods side by side, and write the tables and plots of what came out.

What needs torch or matplotlib is imported inside the commands, so that `emma serve` runs without them.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from models.flags import takes_fields_of
from models.job.recipe import Recipe
from models.job.terminal import console, fail, progress, reported_errors

app = typer.Typer(help="Measure: methods side by side on public data.", no_args_is_help=True)

Data = Annotated[
    Path, typer.Option("--data", help="Directory of the public sets: instance files, splits/ and descriptions/.")
]
Cells = Annotated[Path, typer.Option("--cells", help="Directory of the results, one JSON file for each cell.")]


@app.command("zero-shot")
@takes_fields_of(Recipe)
def zero_shot(
    data: Data,
    cells: Cells,
    runs: Annotated[Path, typer.Option("--runs", help="Directory of checkpoints; killed runs go on there.")],
    split: Annotated[
        list[str], typer.Option("--split", help="Split such as fewrel_m15_seed42; give the flag again for more.")
    ],
    method: Annotated[list[str], typer.Option("--method", help="Name of a method, or all; repeatable.")],
    test_per_relation: Annotated[
        int, typer.Option("--test-per-relation", min=0, help="Most test instances of a relation; 0 takes all.")
    ] = 0,
    trained_for: Annotated[
        list[str] | None,
        typer.Option("--trained-for", help="Train once, with all relations unseen that this split tests; repeatable."),
    ] = None,
    k: Annotated[list[int] | None, typer.Option("--k", min=2, help="Candidates that are read; repeatable.")] = None,
    **given: Any,
) -> None:
    """Train methods on splits and test them on relations that they never saw.

    A cell that is there already is not run again; a killed one goes on where it was. With --trained-for, one
    training serves several splits.
    """
    with reported_errors():
        from models.bench.methods import METHODS
        from models.bench.zero_shot import Grid

        names = list(METHODS) if method == ["all"] else method
        unknown = sorted(set(names) - METHODS.keys())
        if unknown:
            fail(f"--method {', '.join(unknown)}: choose among {', '.join(METHODS)}, or all")
        recipe = Recipe(**given)
        places = {str(data): "DATA", str(cells): "CELLS", str(runs): "RUNS", recipe.encoder: "ENCODER"}
        grid = Grid(
            data,
            cells,
            runs,
            recipe,
            test_per_relation,
            tuple(k or (2, 3, 5)),
            _typed(places),
            tuple(trained_for or ()),
        )
        wanted = [(x, name) for name in names for x in split]
        for number, (part, name) in enumerate(wanted, start=1):
            console.print(f"[bold]{number}/{len(wanted)}[/] {name} on {part}")
            with progress() as bars:
                cell = grid.run(part, name, bars)
            for row in cell["rows"]:
                shown = {key: row[key] for key in ("descriptions", "variant", "k") if key in row}
                score = f"F1 {row['paper']['f1']:.2f}" if "paper" in row else json.dumps(row["recall_at"])
                console.print(f"  {json.dumps(shown)}: {score}", soft_wrap=True)


@app.command()
def report(
    cells: Cells,
    output: Annotated[Path, typer.Option("--output", help="Markdown file of the tables; plots go beside it.")],
) -> None:
    """Write the tables and plots of all cells that are there."""
    with reported_errors():
        from models.bench.report import write

        written = write(cells, output)
        console.print(f"[green]{output}[/] and {written} plots")


def _typed(places: dict[str, str]) -> str:
    """The command as it was typed, but for where things are."""
    return shlex.join(["emma", *(places.get(x, x) for x in sys.argv[1:])])
