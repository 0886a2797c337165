"""What a relation is: an id, a name, and a sentence that describes it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_LISTS = ("head_types", "tail_types", "aliases", "tags")


class RelationFileError(ValueError):
    """A relation file that cannot be read; the message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation as the model reads it.

    `paraphrases` are further wordings of `description`; training draws among all of them so that the model
    learns to read descriptions, not to recognise one. `inverse` is the id of the relation that holds when
    head and tail change places, `symmetric` says that the relation itself then still holds. `head_types` and
    `tail_types` are hypernyms of what stands at either end, such as "person" and "town", the most telling first
    (Zhao et al., RE-Matching, ACL 2023); only that method reads them. `aliases` are other names and `tags` words to
    choose relations by; no model reads either.
    """

    id: str
    name: str
    description: str
    paraphrases: tuple[str, ...] = field(default=())
    inverse: str | None = None
    symmetric: bool = False
    head_types: tuple[str, ...] = ()
    tail_types: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def wordings(self) -> tuple[str, ...]:
        """Every description of the relation, the principal one first."""
        return (self.description, *self.paraphrases)

    def to_json(self) -> dict[str, Any]:
        """The relation as a JSON object, one line of a relation file; types, aliases and tags where there are any."""
        lists = {name: getattr(self, name) for name in _LISTS}
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "paraphrases": list(self.paraphrases),
            "inverse": self.inverse,
            "symmetric": self.symmetric,
            **{key: list(names) for key, names in lists.items() if names},
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
        inverse, symmetric = row.get("inverse"), row.get("symmetric", False)
        if not isinstance(inverse, str | None):
            raise TypeError(f"'inverse' must be a relation id or null, got {inverse!r}")
        if not isinstance(symmetric, bool | None):
            raise TypeError(f"'symmetric' must be true or false, got {symmetric!r}")
        return cls(
            id=row["id"],
            name=row["name"],
            description=row["description"],
            paraphrases=_strings(row, "paraphrases"),
            inverse=inverse,
            symmetric=bool(symmetric),
            **{name: _strings(row, name) for name in _LISTS},
        )


def opposites(relations: Iterable[Relation]) -> dict[str, frozenset[str]]:
    """Ids that hold when head and tail change places, for every relation that there are any of.

    Those are the inverse, whichever of the two names the other, and a symmetric relation itself.

    >>> opposites([Relation("P22", "father", "", inverse="P40"), Relation("P26", "spouse", "", symmetric=True)])
    {'P22': frozenset({'P40'}), 'P40': frozenset({'P22'}), 'P26': frozenset({'P26'})}
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for relation in relations:
        if relation.symmetric:
            found[relation.id].add(relation.id)
        if relation.inverse is not None:
            found[relation.id].add(relation.inverse)
            found[relation.inverse].add(relation.id)
    return {name: frozenset(ids) for name, ids in found.items()}


def read_relations(paths: Path | Sequence[Path]) -> dict[str, Relation]:
    """Read relation files (JSONL) into `{id: relation}`, in the order of first appearance.

    An id that appears again adds its descriptions to the first one's paraphrases, and what was not said before of
    its direction, its types, its aliases and its tags.

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


def _strings(row: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = row.get(key) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{key!r} must be a list of strings, got {texts!r}")
    return tuple(texts)


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
        **{name: getattr(known, name) or getattr(other, name) for name in _LISTS},
    )
