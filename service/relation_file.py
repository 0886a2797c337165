"""Files of relations, JSONL or CSV, as they are registered: row by row, each with its place and its fault."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from models.relation import Relation, RelationFileError
from service.client import body
from service.registration import derived_id
from service.schemas import RelationInput

SUFFIX = ".csv"
"""Of a file that is read and written as CSV; any other is JSONL."""

TEXTS = ("id", "name", "description", "inverse")
"""Columns whose cells are text; those of the others hold JSON, or nothing."""

COLUMNS = tuple(RelationInput.model_fields)


@dataclass(frozen=True, slots=True)
class Row:
    """One relation of a file: where it stands, what it says, and what is wrong with it if something is."""

    place: str
    relation: Relation | None
    fault: str | None


def read_rows(path: Path) -> list[Row]:
    """The relations of a file.

    Raises:
        RelationFileError: it cannot be read at all, or it has a column that is none or lacks one.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_csv(path, file) if path.suffix == SUFFIX else _jsonl(path, file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RelationFileError(f"{path}: cannot be read ({error})") from error


def writer(file: TextIO, as_csv: bool) -> Callable[[Sequence[Relation]], None]:
    """What writes relations to a file, so that `read_rows` reads the same."""
    if not as_csv:
        return lambda relations: file.writelines(
            json.dumps(_told(relation), ensure_ascii=False) + "\n" for relation in relations
        )
    table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    table.writeheader()

    def write(relations: Sequence[Relation]) -> None:
        for relation in relations:
            row = _told(relation)
            coded = {name: json.dumps(row[name], ensure_ascii=False) for name in row if name not in TEXTS}
            table.writerow(row | coded)

    return write


def _told(relation: Relation) -> dict[str, Any]:
    return {"id": relation.id, **body(relation)}


def _jsonl(path: Path, file: TextIO) -> Iterator[Row]:
    # Not by the lines of the file, which also end where JSON allows it within a string.
    for number, line in enumerate(file.read().split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Row(place, None, f"not JSON: {error}")
                continue
            yield _row(place, row)


def _csv(path: Path, file: TextIO) -> Iterator[Row]:
    table = csv.DictReader(file, strict=True)
    columns = table.fieldnames or ()
    unknown = [name for name in columns if name not in COLUMNS]
    missing = [name for name in ("name", "description") if name not in columns]
    if unknown or missing:
        fault = f"no column {missing[0]!r}" if missing else f"an unknown column {unknown[0]!r}"
        raise RelationFileError(f"{path} has {fault}: its first line has to name columns out of {', '.join(COLUMNS)}")
    for cells in table:
        place = f"{path}, line {table.line_num}"
        if None in cells:
            yield Row(place, None, f"more cells than the {len(columns)} columns")
            continue
        row: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
        try:
            row |= {name: json.loads(cell) for name, cell in row.items() if name not in TEXTS}
        except (ValueError, RecursionError):
            yield Row(place, None, f"a cell is not JSON; only those of {', '.join(TEXTS)} are plain text")
            continue
        yield _row(place, row)


def _row(place: str, row: Any) -> Row:
    if isinstance(row, dict):
        # A file may say null of what there is nothing to say of.
        row = {key: value for key, value in row.items() if value is not None}
    try:
        said = RelationInput.model_validate(row)
    except ValidationError as error:
        fault = error.errors()[0]
        name = row.get("id") if isinstance(row, dict) else None
        field = ".".join(map(str, fault["loc"])) or "row"
        reason = fault["msg"].removeprefix("Value error, ")
        return Row(place, None, f"{f'{name}: ' if isinstance(name, str) else ''}{field}: {reason}")
    return Row(place, said.relation(said.id or derived_id(said.name, said.description)), None)
