"""The command `emma`."""

from __future__ import annotations

from typing import Annotated

import typer

import service
from models.bench import commands as bench
from models.job import commands as offline
from service.cli import db, extract, keys, relations, serve

app = typer.Typer(
    help="Zero-shot relation extraction: describe a relation in one sentence, use it in the next request.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(service.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Zero-shot relation extraction: describe a relation in one sentence, use it in the next request."""


app.command()(serve.serve)
app.command()(extract.extract)
app.add_typer(relations.app, name="relations")
app.add_typer(db.app, name="db")
app.add_typer(keys.app, name="keys")
for command in (
    offline.train,
    offline.adapt,
    offline.evaluate,
    offline.export,
    offline.index,
    offline.calibrate,
    offline.build,
):
    app.command(rich_help_panel="Offline job")(command)
app.add_typer(bench.app, name="bench", rich_help_panel="Offline job")

__all__ = ["app"]
