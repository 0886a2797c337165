"""`emma keys`: the file of the service's API keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service import keys
from service.cli.options import errors, explained
from service.settings import variable

app = typer.Typer(
    help="Add, list and remove API keys. A service that runs reads the file again on SIGHUP.", no_args_is_help=True
)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Who the history says it was.")]
File = Annotated[
    Path, typer.Option("--file", help="File of the keys.", envvar=variable("api_keys_file"), dir_okay=False)
]


@app.command()
def add(
    key_id: KeyId,
    file: File,
    role: Annotated[keys.Role, typer.Option(help="read: extract and read; write: also change the registry.")] = "read",
) -> None:
    """Make a key and print it, this once; the file, which is made where there is none, gets its digest only."""
    with explained():
        key = keys.add(file, key_id, role)
    typer.echo(key)
    errors.print(f"{key_id} ({role}) added to {file}; the key is not shown again", markup=False)


@app.command("list")
def list_keys(file: File) -> None:
    """Show the ids and roles of the keys."""
    table = Table("id", "role")
    with explained():
        for key in keys.read(file):
            table.add_row(key.id, key.role)
    Console().print(table)


@app.command()
def remove(key_id: KeyId, file: File) -> None:
    """Take a key out of the file; a service refuses it as soon as it has read the file again."""
    with explained():
        keys.remove(file, key_id)
