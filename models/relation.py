"""What a relation is: an id, a name, and a sentence that describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


class RelationFileError(ValueError):
    """A relation file that cannot be read; the message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation as the model reads it.

    `paraphrases` are further wordings of `description`; training draws among all of them so that the model
    learns to read descriptions, not to recognise one. `inverse` is the id of the relation that holds when
    head and tail change places, `symmetric` says that the relation itself then still holds.
    """

    id: str
    name: str
    description: str
    paraphrases: tuple[str, ...] = field(default=())
    inverse: str | None = None
    symmetric: bool = False

    def wordings(self) -> tuple[str, ...]:
        """Every description of the relation, the principal one first."""
        return (self.description, *self.paraphrases)

    def to_json(self) -> dict[str, Any]:
        """The relation as a JSON object, one line of a relation file."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "paraphrases": list(self.paraphrases),
            "inverse": self.inverse,
            "symmetric": self.symmetric,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Relation:
        """Read one object of a relation file; `id`, `name` and `description` are required.

        Raises:
            KeyError: a required key is missing.
            TypeError: a value is not of the right type.
        """
        for key in ("id", "name", "description"):
            if not isinstance(row[key], str):
                raise TypeError(f"{key!r} must be a string, got {type(row[key]).__name__}")
        paraphrases, inverse, symmetric = row.get("paraphrases") or [], row.get("inverse"), row.get("symmetric", False)
        if not isinstance(paraphrases, list) or not all(isinstance(text, str) for text in paraphrases):
            raise TypeError(f"'paraphrases' must be a list of strings, got {paraphrases!r}")
        if not isinstance(inverse, str | None):
            raise TypeError(f"'inverse' must be a relation id or null, got {inverse!r}")
        if not isinstance(symmetric, bool | None):
            raise TypeError(f"'symmetric' must be true or false, got {symmetric!r}")
        return cls(
            id=row["id"],
            name=row["name"],
            description=row["description"],
            paraphrases=tuple(paraphrases),
            inverse=inverse,
            symmetric=bool(symmetric),
        )


def read_relations(paths: Path | Sequence[Path]) -> dict[str, Relation]:
    """Read relation files (JSONL) into `{id: relation}`, in the order of first appearance.

    An id that appears again adds its descriptions to the first one's paraphrases.

    Raises:
        RelationFileError: a file cannot be read, a line is not JSON, lacks a key or has a value of a wrong type,
            or no relation was found at all.
    """
    relations: dict[str, Relation] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                relation = Relation.from_json(json.loads(line))
            except KeyError as error:
                raise RelationFileError(f"{path}, line {number}: key {error} is missing") from error
            except (ValueError, TypeError, AttributeError) as error:
                raise RelationFileError(f"{path}, line {number}: {error}") from error
            known = relations.get(relation.id)
            relations[relation.id] = relation if known is None else _with_wordings(known, relation)
    if not relations:
        raise RelationFileError(
            f"no relation found in {paths}: expected one JSON object a line with id, name and description"
        )
    return relations


def write_relations(relations: Iterable[Relation], path: Path) -> None:
    """Write a relation file, one JSON object a line."""
    lines = (json.dumps(relation.to_json(), ensure_ascii=False) for relation in relations)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    try:
        # Not `splitlines`, which also splits at separators that JSON allows within a string.
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RelationFileError(f"{path}: cannot be read ({error})") from error


def _with_wordings(known: Relation, other: Relation) -> Relation:
    more = tuple(text for text in other.wordings() if text not in known.wordings())
    return replace(
        known,
        paraphrases=known.paraphrases + more,
        inverse=known.inverse or other.inverse,
        symmetric=known.symmetric or other.symmetric,
    )
