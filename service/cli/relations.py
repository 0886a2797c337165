"""`emma relations`: the relations of a running service, and `reindex` for a new model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.relation import Relation, read_relations
from service.cli.options import errors, explained, fail, with_settings
from service.client import DEFAULT_URL, RefusedError, RelationClient, UnreachableError
from service.errors import StartupError
from service.extraction import Model
from service.registration import encode
from service.registry import Draft, is_shared, locked
from service.registry import reindex as reindex_registry
from service.settings import Settings
from service.state import load_model

Value = TypeVar("Value")

app = typer.Typer(help="List, add, import, export and reindex relations.", no_args_is_help=True)

Url = Annotated[str, typer.Option(help="Where the service listens.", envvar="EMMA_URL")]
MENDABLE = {409, 413, 422}
"""Statuses that say that a relation is at fault, not the service."""


@app.command("list")
def list_relations(url: Url = DEFAULT_URL) -> None:
    """Show the relations of a running service."""
    table = Table("id", "name", "description")
    with _client(url) as client:
        for relations, _ in client.pages():
            for relation in relations:
                table.add_row(*map(escape, (relation.id, relation.name, relation.description)))
    Console().print(table)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What the relation is called.")],
    description: Annotated[str, typer.Argument(help="What head and tail are, and how they relate.")],
    relation_id: Annotated[
        str | None, typer.Option("--id", help="Its id; made from name and description if not given.")
    ] = None,
    paraphrase: Annotated[
        list[str] | None, typer.Option("--paraphrase", help="A further wording of the description; repeatable.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Register a relation with a running service."""
    with _client(url) as client:
        typer.echo(client.add(name, description, relation_id, paraphrase or ()))


@app.command("import")
def import_relations(
    files: Annotated[list[Path], typer.Argument(help="JSONL relation files.", exists=True, dir_okay=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Replace relations that have other content.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=1000, help="Relations in one request.")] = 100,
    url: Url = DEFAULT_URL,
) -> None:
    """Register the relations of files with a running service; to repeat it is safe."""
    refused = new = 0
    with _client(url) as client, _progress("importing") as advance:
        relations = list(read_relations(files).values())
        for start in range(0, len(relations), batch_size):
            batch = relations[start : start + batch_size]
            created, faults = _send(client, batch, replace)
            new += created
            refused += len(faults)
            for fault in faults:
                errors.print(fault, markup=False)
            advance(start + len(batch), len(relations))
    typer.echo(f"{len(relations) - refused} relations registered, {new} of them new, {refused} refused")
    if refused:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[Path | None, typer.Argument(help="JSONL file to write; standard output if not given.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write the relations of a running service as a relation file."""
    with _client(url) as client, ExitStack() as stack:
        advance = stack.enter_context(_progress("exporting"))
        pages = client.pages()
        first = next(pages)
        # Opened only now: a service that does not answer leaves the file as it is.
        target = stack.enter_context(output.open("w", encoding="utf-8")) if output else sys.stdout
        done = 0
        for relations, total in (first, *pages):
            for relation in relations:
                row: dict[str, Any] = {"id": relation.id, "name": relation.name, "description": relation.description}
                if relation.paraphrases:
                    row["paraphrases"] = relation.paraphrases
                target.write(json.dumps(row, ensure_ascii=False) + "\n")
            done += len(relations)
            advance(done, total)


@app.command()
@with_settings("data_dir", "database_url", "bundle", "threads")
def reindex(settings: Settings) -> None:
    """Encode the relations of a registry again, with the encoder of the bundle.

    A service on a data directory has to be stopped. Services on a database go on extracting meanwhile; start them
    again afterwards, with the bundle, one after the other.
    """
    model = load_model(settings)
    url = settings.registry()
    if not is_shared(url) and not settings.data_dir.is_dir():
        raise StartupError(f"there is no data directory {settings.data_dir}: nothing to encode again")
    with locked(url), _progress("encoding") as advance:
        count = reindex_registry(
            url, model.bundle.manifest.fingerprint, lambda relations: drafts(model, relations), advance
        )
    typer.echo(f"{count} relations encoded with {model.bundle.manifest.name}")


def drafts(model: Model, relations: Sequence[Relation]) -> list[Draft]:
    """Relations with their vectors.

    Raises:
        InputError: the bundle's tokenizer finds nothing to read in a description.
    """
    encoded = encode(model, relations)
    for relation, draft in zip(relations, encoded, strict=True):
        if isinstance(draft, Exception):
            raise StartupError(f"relation {relation.id!r} cannot be encoded: {draft}") from draft
    return [draft for draft in encoded if isinstance(draft, Draft)]


def _send(client: RelationClient, batch: Sequence[Relation], replace: bool) -> tuple[int, list[str]]:
    if not replace:
        try:
            return client.add_all(batch), []
        except RefusedError as error:
            if error.status not in MENDABLE:
                raise
    # One at a time, to register the others and to say which ones are at fault.
    created, faults = 0, []
    for relation in batch:
        try:
            if replace:
                created += client.replace(relation)
            else:
                created += client.add_all([relation])
        except RefusedError as error:
            if error.status not in MENDABLE:
                raise
            faults.append(f"{relation.id}: {error}")
    return created, faults


@contextmanager
def _client(url: str) -> Iterator[RelationClient]:
    with explained():
        try:
            with RelationClient(url) as client:
                yield client
        except UnreachableError as error:
            fail(str(error))
        except RefusedError as error:
            fail(f"{url} answered {error.status}: {error}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
