"""Instance files and split files, and the training and validation sets that they make."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from models.job.resemblance import Resemblances
from models.relation import Relation, opposites
from models.text import InputError, Instance


class DataError(ValueError):
    """A data file that cannot be used; the message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Example:
    """An instance and what is true of it.

    `relation` is None where the two mentions are unrelated; `also` are further relations of the same pair.
    `reverse_related` says of an unrelated pair that it is related with head and tail changed.
    """

    instance: Instance
    relation: str | None
    also: frozenset[str] = frozenset()
    reverse_related: bool = False

    @property
    def truth(self) -> frozenset[str]:
        """Every relation known to hold; empty where the mentions are unrelated."""
        return self.also if self.relation is None else self.also | {self.relation}


@dataclass(frozen=True, slots=True)
class Split:
    """Relation ids by their part in a zero-shot experiment."""

    train: frozenset[str]
    valid: frozenset[str]
    test: frozenset[str]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a run learns from and what it chooses by.

    `valid_relations` are the candidates of validation: with a split, every described relation that it neither
    trains on nor tests, of which only its `valid` part has examples; else those of the training. The few valid
    relations of a published split are told apart too easily for a choice between epochs.
    """

    train: list[Example]
    valid: list[Example]
    relations: dict[str, Relation]
    train_relations: list[str]
    valid_relations: list[str]
    skipped: Counter[str] = field(default_factory=Counter)

    def trained_on(self, fewest: int) -> list[str]:
        """Training relations with so many instances at least."""
        counts = Counter(x.relation for x in self.train)
        return [name for name in self.train_relations if counts[name] >= fewest]

    def choosing_among(self, ids: Set[str]) -> TrainingData:
        """The same, validated among some of the relations alone; among all if no related pair were left."""
        valid = [x for x in self.valid if x.relation is None or x.relation in ids]
        if all(x.relation is None for x in valid):
            return self
        return replace(self, valid=valid, valid_relations=[name for name in self.valid_relations if name in ids])

    def digest(self) -> str:
        """Identity of the data, by which a resumed run knows that it is the same one."""
        seen = hashlib.sha256()
        for example in (*self.train, *self.valid):
            seen.update(repr(example.instance).encode("utf-8", "surrogatepass"))
            seen.update(repr(example.relation).encode())
            if example.also:
                seen.update(repr(sorted(example.also)).encode())
        seen.update(repr(sorted((r.id, r.name, r.wordings()) for r in self.relations.values())).encode())
        return seen.hexdigest()[:16]


def read_examples(
    path: Path,
    *,
    per_relation: int = 0,
    seed: int = 0,
    without: frozenset[str] = frozenset(),
    flagged: str | None = None,
) -> tuple[list[Example], Counter[str]]:
    """Read an instance file, plain or gzipped JSONL.

    Rows whose spans cannot be used are left out and counted by reason.

    Args:
        path: of the file.
        per_relation: most instances kept of each relation, drawn with `seed`; 0 keeps all.
        seed: of that draw.
        without: relation ids to leave out.
        flagged: name of a field; rows where it is false are left out.

    Raises:
        DataError: the file is missing, or a line is not an instance.
    """
    skipped: Counter[str] = Counter()
    found: list[Example] = []
    for number, row in _rows(path):
        try:
            relation = row["relation"]
            if relation in without or (flagged is not None and not row.get(flagged, True)):
                continue
            instance = Instance.from_tokens(row["tokens"], row["head"], row["tail"])
            found.append(Example(instance, relation, reverse_related=_flag(row, "reverse_related")))
        except InputError as error:
            skipped[f"{error.field}: unusable span or text"] += 1
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}, line {number}: not an instance ({error!r}); "
                'expected {"tokens": [...], "head": [start, end], "tail": [start, end], "relation": id or null}'
            ) from error
    return _capped(_with_also(found), per_relation, seed), skipped


def read_split(path: Path) -> Split:
    """Read a split file: `{"train": [ids], "valid": [ids], "test": [ids]}`.

    Raises:
        DataError: it is not one, or a relation stands in two parts.
    """
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        split = Split(*(frozenset(parts[name]) for name in ("train", "valid", "test")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a split file with train, valid and test ({error!r})") from error
    twice = (split.train & split.valid) | (split.train & split.test) | (split.valid & split.test)
    if twice:
        raise DataError(f"{path}: {', '.join(sorted(twice))} in more than one part")
    return split


def training_data(
    files: Sequence[Sequence[Example]],
    relations: dict[str, Relation],
    *,
    split: Split | None,
    valid_fraction: float,
    seed: int,
    resembling: Resemblances | None = None,
) -> TrainingData:
    """Divide examples into training and validation.

    With a split, validation has the examples of its `valid` relations, and neither they nor those of its `test`
    relations, nor any sentence of either is trained on. Without one, a part of the sentences is held out.
    Unrelated pairs are divided by sentence in both cases.

    An unseen relation is not shown the other way round or by another name either: what it is the inverse of or
    resembles is left out, unless the split trains on it. In training, what a pair's relation resembles may hold, too.

    Raises:
        DataError: a relation has no description, or nothing is left to train on or to validate on.
    """
    examples = [example for file in files for example in file]
    _describe_all(examples, relations)
    resembling = resembling or {}
    if split is not None:
        split = _with_kin(split, opposites(relations.values()), resembling)
    undescribed = sorted(split.valid - relations.keys()) if split is not None else []
    if undescribed:
        raise DataError(f"no description of {', '.join(undescribed[:5])}, the split's valid part: give a relation file")
    unseen = frozenset() if split is None else split.valid | split.test
    kept_away = {x.instance.sentence for x in examples if _touches(x, unseen)}
    train: list[Example] = []
    valid: list[Example] = []
    skipped: Counter[str] = Counter()
    for example in examples:
        if split is not None and example.relation in split.valid:
            valid.append(example)
        elif example.relation in unseen:
            continue
        elif example.instance.sentence in kept_away:
            skipped["sentence of an unseen relation"] += 1
        elif (split is None or example.relation is None) and _held_out(example.instance.sentence, valid_fraction):
            valid.append(example)
        else:
            train.append(replace(example, also=example.also | resembling.get(str(example.relation), frozenset())))
    train_ids = sorted({x.relation for x in train if x.relation is not None})
    if len(train_ids) < 2:
        raise DataError(f"{len(train_ids)} relations to train on, at least 2 are needed: check the files and the split")
    if all(x.relation is None for x in valid):
        raise DataError("no related pair to validate on: raise valid_fraction or check the split's valid part")
    valid_ids = train_ids if split is None else sorted(relations.keys() - split.train - split.test - set(train_ids))
    random.Random(seed).shuffle(valid)
    return TrainingData(train, valid, relations, train_ids, valid_ids, skipped)


def validation_data(examples: Sequence[Example], relations: dict[str, Relation]) -> TrainingData:
    """Examples to choose by and none to learn from; the candidates are the relations that they have.

    Raises:
        DataError: a relation has no description.
    """
    _describe_all(examples, relations)
    return TrainingData([], list(examples), relations, [], sorted({x.relation for x in examples if x.relation}))


def _with_kin(split: Split, *kinds: Mapping[str, frozenset[str]]) -> Split:
    unseen = split.valid | split.test
    kin = frozenset[str]().union(*(ids.get(name, frozenset()) for ids in kinds for name in unseen))
    return replace(split, test=split.test | (kin - unseen - split.train))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, json.loads(line)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error})") from error


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _flag(row: dict[str, Any], key: str) -> bool:
    value = row.get(key)
    if not isinstance(value, bool | None):
        raise TypeError(f"{key!r} must be true or false, got {value!r}")
    return bool(value)


def _with_also(examples: list[Example]) -> list[Example]:
    holds: defaultdict[Instance, set[str]] = defaultdict(set)
    for example in examples:
        if example.relation is not None:
            holds[example.instance].add(example.relation)
    return [
        replace(example, also=frozenset(holds[example.instance] - {example.relation}))
        if len(holds.get(example.instance, ())) > 1
        else example
        for example in examples
    ]


def _capped(examples: list[Example], per_relation: int, seed: int) -> list[Example]:
    if not per_relation:
        return examples
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    seen: Counter[str] = Counter()
    kept = []
    for index in order:
        relation = examples[index].relation
        if relation is not None:
            seen[relation] += 1
            if seen[relation] > per_relation:
                continue
        kept.append(index)
    return [examples[index] for index in sorted(kept)]


def _describe_all(examples: Sequence[Example], relations: dict[str, Relation]) -> None:
    unknown = Counter(x.relation for x in examples if x.relation is not None and x.relation not in relations)
    if unknown:
        worst = ", ".join(f"{name} ({count} instances)" for name, count in unknown.most_common(5))
        raise DataError(
            f"{len(unknown)} relations have no description, among them {worst}: give a relation file with them"
        )


def _touches(example: Example, ids: frozenset[str]) -> bool:
    return example.relation in ids or bool(example.also & ids)


def _held_out(sentence: str, fraction: float) -> bool:
    digest = hashlib.sha256(sentence.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) < fraction * 2**32
