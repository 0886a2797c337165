"""`emma db`: the registry's database."""

from __future__ import annotations

import typer

from service.cli.options import with_settings
from service.registry import described, locked
from service.registry import upgrade as upgrade_registry
from service.settings import Settings

app = typer.Typer(help="Look after the registry's database.", no_args_is_help=True)


@app.callback()
def db() -> None:
    """Look after the registry's database."""


@app.command()
@with_settings("data_dir", "database_url")
def upgrade(settings: Settings) -> None:
    """Bring the registry to this release's schema, all or nothing; make one where there is none.

    A service on a data directory has to be stopped. Services on a database that are running go on, with the release
    they are of.
    """
    url = settings.registry()
    with locked(url):
        before, after = upgrade_registry(url)
    if before == after:
        typer.echo(f"the registry {described(url)} has schema {after} already")
    else:
        typer.echo(f"the registry {described(url)} is at schema {after} now, before it was {before or 'empty'}")
