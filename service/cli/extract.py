"""`emma extract`: in this process, without a service."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
import typer
from pydantic import BaseModel, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.text import InputError, Instance, Span
from service import schemas
from service.cli.options import errors, fail, with_settings
from service.errors import STATUS
from service.extraction import Answer, Extractor, Model, Query
from service.fields import TOP_K
from service.index import RelationIndex, Tiers
from service.metrics import Metrics
from service.registration import catalogue, entries, synchronise
from service.registry import Registry, locate, locked
from service.settings import Settings
from service.state import load_model

Options = tuple[int, float | None, tuple[str, ...] | None, tuple[str, ...] | None]
"""Of every query: how many candidates, the threshold, and the ids and the tags of the relations to choose from."""

_OFFSETS = re.compile(r"(\d{1,9}):(\d{1,9})")


class TokenRow(BaseModel):
    """A row of an instance file: the offsets count tokens."""

    tokens: list[str]
    head: tuple[int, int]
    tail: tuple[int, int]

    def instance(self) -> Instance:
        """The row as the model reads it; raises `InputError`."""
        return Instance.from_tokens(self.tokens, self.head, self.tail)


class SentenceRow(BaseModel):
    """A row as `POST /extract` takes it: the offsets count characters."""

    sentence: str
    head: schemas.Span
    tail: schemas.Span

    def instance(self) -> Instance:
        """The row as the model reads it; raises `InputError`."""
        return Instance(self.sentence, Span(self.head.start, self.head.end), Span(self.tail.start, self.tail.end))


@with_settings("bundle", "threads")
def extract(
    settings: Settings,
    sentence: Annotated[str | None, typer.Argument(help="A sentence.", show_default=False)] = None,
    head: Annotated[str | None, typer.Option(help="The head: START:END in characters, or the mention's text.")] = None,
    tail: Annotated[str | None, typer.Option(help="The tail, likewise.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="JSONL file of instances, in place of one sentence.", exists=True, dir_okay=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSONL file to write, one line for each row; standard output if not given.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Choose from the registry of this data directory, not from the catalogue.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=TOP_K, help="Candidates to answer with.")] = 3,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Score below which the relation is null.")
    ] = None,
    relation: Annotated[list[str] | None, typer.Option(help="Id of a relation to choose from; repeatable.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of relations to choose from; repeatable.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of the file that are read at once.")] = 32,
) -> None:
    """Extract the relation between two mentions of a sentence, or of every row of a file."""
    if (sentence is None) == (source is None):
        fail("give either a sentence or --input, one of the two", 2)
    restrict = tuple(dict.fromkeys(relation)) if relation else None
    options = top_k, threshold, restrict, tuple(dict.fromkeys(tag)) if tag else None
    instance = None if sentence is None else _one(sentence, head, tail)
    model = load_model(settings)
    extractor = Extractor(model, _index(model, data_dir), Metrics())
    if instance is not None:
        [answer] = extractor.extract([Query(instance, *options)])
        if isinstance(answer, Exception):
            fail(str(answer))
        typer.echo(json.dumps(asdict(answer), ensure_ascii=False, indent=2))
        return
    assert source is not None
    with ExitStack() as stack:
        target = stack.enter_context(output.open("w", encoding="utf-8")) if output else sys.stdout
        refused, rows = _file(extractor, source, target, batch_size, options)
    if refused:
        fail(f"{refused} of {rows} rows could not be read; their lines have an `error` in place of the answer")


def mention(sentence: str, name: str, text: str) -> Span:
    """The span that START:END or a mention's text stands for.

    Raises:
        InputError: the text is not in the sentence, or more than once.
    """
    if offsets := _OFFSETS.fullmatch(text):
        return Span(int(offsets[1]), int(offsets[2]))
    starts = [found.start() for found in re.finditer(f"(?={re.escape(text)})", sentence)] if text else []
    if len(starts) != 1:
        times = f"{len(starts)} times" if starts else "not"
        raise InputError(name, f"{text!r} is {times} in the sentence: give the {name} as START:END")
    return Span(starts[0], starts[0] + len(text))


def _one(sentence: str, head: str | None, tail: str | None) -> Instance:
    if head is None or tail is None:
        fail("give both --head and --tail", 2)
    try:
        return Instance(sentence, mention(sentence, "head", head), mention(sentence, "tail", tail))
    except InputError as error:
        fail(error.message, 2)


def _index(model: Model, data_dir: Path | None) -> RelationIndex:
    manifest = model.bundle.manifest
    # Exact: to make another index would take longer than most files.
    index = RelationIndex(manifest.dimension, Tiers(flat_to=sys.maxsize))
    if data_dir is None:
        relations = model.bundle.relations()
        index.put(entries(relations, 0), np.asarray(model.bundle.vectors(), dtype=np.float32))
        return index
    if not data_dir.is_dir():
        fail(f"there is no data directory {data_dir}", 2)
    url = locate(data_dir)
    with locked(url), closing(Registry.open(url, manifest.fingerprint, lambda: catalogue(model))) as registry:
        synchronise(registry, index)
    return index


def _file(
    extractor: Extractor,
    source: Path,
    target: TextIO,
    batch_size: int,
    options: Options,
) -> tuple[int, int]:
    refused = done = 0
    try:
        lines = [line for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        fail(f"{source} is not UTF-8: {error.reason} at byte {error.start}")
    columns = (TextColumn("extracting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=len(lines))
        for start in range(0, len(lines), batch_size):
            for answer in _rows(extractor, lines[start : start + batch_size], options):
                refused += isinstance(answer, Exception)
                done += 1
                target.write(json.dumps(_line(answer), ensure_ascii=False) + "\n")
            progress.update(task, completed=done)
    return refused, done


def _rows(extractor: Extractor, lines: Sequence[str], options: Options) -> Iterator[Answer | Exception]:
    read = [_read(line) for line in lines]
    queries = [Query(item, *options) for item in read if isinstance(item, Instance)]
    answers = iter(extractor.extract(queries))
    for item in read:
        yield next(answers) if isinstance(item, Instance) else item


def _read(line: str) -> Instance | InputError:
    try:
        row = json.loads(line)
        kind: type[TokenRow | SentenceRow] = TokenRow if isinstance(row, dict) and "tokens" in row else SentenceRow
        return kind.model_validate(row).instance()
    except InputError as error:
        return error
    except ValidationError as error:
        fault = error.errors()[0]
        return InputError(".".join(map(str, fault["loc"])) or "row", str(fault["msg"]))
    except (ValueError, RecursionError) as error:
        return InputError("row", f"not JSON: {error}")


def _line(answer: Answer | Exception) -> dict[str, Any]:
    if isinstance(answer, Answer):
        return asdict(answer)
    kind = next(STATUS[base][1] for base in type(answer).__mro__ if base in STATUS)
    return {"error": {"type": kind, "message": str(answer), "field": getattr(answer, "field", None)}}
