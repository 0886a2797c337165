"""`emma relations`: the relations of a running service, and `reindex` for a new model."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.relation import Relation
from service.cli.options import errors, explained, fail, with_settings
from service.client import DEFAULT_URL, KEY_PATTERN, RefusedError, RelationClient, UnreachableError
from service.errors import StartupError
from service.extraction import Model
from service.fields import BATCH_RELATIONS
from service.registration import encode
from service.registry import Draft, is_shared, locked
from service.registry import reindex as reindex_registry
from service.relation_file import SUFFIX, Row, read_rows, writer
from service.settings import Settings
from service.state import load_model

KEY = "EMMA_API_KEY"
"""The variable with the key that is sent; no flag, whose value everyone on the machine could see."""

app = typer.Typer(
    help=f"List, add, import, export and reindex relations. {KEY} is sent to a service that asks for API keys.",
    no_args_is_help=True,
)

Url = Annotated[str, typer.Option(help="Where the service listens.", envvar="EMMA_URL")]
MENDABLE = {409, 413, 422}
"""Statuses that say that a relation is at fault, not the service."""

_ITEM = re.compile(r"items\.(\d+)")


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
    files: Annotated[
        list[Path], typer.Argument(help="Relation files: JSONL, or CSV by its suffix.", exists=True, dir_okay=False)
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Replace relations that have other content.")] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=BATCH_RELATIONS, help="Relations that are registered together or not at all.")
    ] = 100,
    url: Url = DEFAULT_URL,
) -> None:
    """Register the relations of files with a running service, in batches; to repeat it is safe.

    A batch with a row that is refused is not registered, and each such row is told with the reason.
    """
    rows = [row for file in files for row in read_rows(file)]
    new = refused = left_out = 0
    with _client(url) as client, _progress("importing") as advance:
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            created, faults = _send(client, batch, replace)
            new += created
            refused += len(faults)
            left_out += len(batch) - len(faults) if faults else 0
            for fault in faults:
                errors.print(fault, markup=False)
            advance(start + len(batch), len(rows))
    registered = len(rows) - refused - left_out
    typer.echo(
        f"{registered} relations registered, {new} of them new, {refused} refused, {left_out} left out with them"
    )
    if refused:
        raise typer.Exit(1)


@app.command()
def export(
    output: Annotated[
        Path | None,
        typer.Argument(help="File to write: JSONL, or CSV by its suffix; JSONL to standard output if none."),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write the relations of a running service as a relation file, which `import` reads."""
    with _client(url) as client, ExitStack() as stack:
        advance = stack.enter_context(_progress("exporting"))
        pages = client.pages()
        first = next(pages)
        # Opened only now: a service that does not answer leaves the file as it is.
        target = stack.enter_context(output.open("w", encoding="utf-8", newline="")) if output else sys.stdout
        write = writer(target, as_csv=output is not None and output.suffix == SUFFIX)
        done = 0
        for relations, total in (first, *pages):
            write(relations)
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


def _send(client: RelationClient, batch: Sequence[Row], replace: bool) -> tuple[int, list[str]]:
    """Register a batch: how many are new, or, for each row at fault, where it stands and why it is refused."""
    faults = [f"{row.place}: {row.fault}" for row in batch if row.fault is not None]
    relations = [row.relation for row in batch if row.relation is not None]
    if faults:
        return 0, faults
    try:
        return client.add_all(relations, replace), []
    except RefusedError as error:
        if error.status not in MENDABLE:
            raise
        refused = _conflicts(client, batch) if error.status == 409 else []
        if len(batch) == 1:
            refused = [f"{batch[0].place}: {error}"]
        elif found := _ITEM.match(error.field or ""):
            refused = [f"{batch[int(found[1])].place}: {error}"]
        return 0, refused or [f"{batch[0].place} and the {len(batch) - 1} that follow: {error}"]


def _conflicts(client: RelationClient, batch: Sequence[Row]) -> list[str]:
    known = [(row, row.relation and client.get(row.relation.id)) for row in batch]
    return [
        f"{row.place}: {there.id}: registered already with other content; --replace replaces it"
        for row, there in known
        if there and there != row.relation
    ]


@contextmanager
def _client(url: str) -> Iterator[RelationClient]:
    key = os.environ.get(KEY, "").strip()
    if key and not re.fullmatch(KEY_PATTERN, key):
        fail(f"{KEY} has white space or a character that is not ASCII in it: set it to a key", 2)
    with explained():
        try:
            with RelationClient(url, key=key) as client:
                yield client
        except UnreachableError as error:
            fail(str(error))
        except RefusedError as error:
            remedy = f" (this command sends the key in {KEY})" if error.status in (401, 403) else ""
            fail(f"{url} answered {error.status}: {error}{remedy}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
