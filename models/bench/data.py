"""The public data of one zero-shot split: what is trained on, what is tested, and what is missing from it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.job.dataset import DataError, Example, Split, TrainingData, read_examples, read_split, training_data
from models.job.recipe import Recipe
from models.job.resemblance import Resemblances, read_resemblances
from models.relation import Relation, read_relations
from models.text import Instance

CATALOGUE = Path(__file__).parents[1] / "catalogue" / "default.jsonl"

WRITTEN, SENTENCES = (CATALOGUE.with_name(name) for name in ("written.jsonl", "written_instances.jsonl"))
"""Further relations, described by this project, and sentences that it wrote of them."""

FILES = {"fewrel": ["fewrel.jsonl.gz"], "wikizsl": ["wikizsl_part.jsonl.gz", "wikizsl_partial_rels_sample.jsonl.gz"]}
"""The instance files of a data set, by the first part of its splits' names."""

_DOCUMENTS = ["docred_train_intra.jsonl.gz", "redocred_dev.jsonl.gz", "redocred_dev_negatives.jsonl.gz"]

EXTRA = {"fewrel": [*_DOCUMENTS, *FILES["wikizsl"]], "wikizsl": [*_DOCUMENTS, *FILES["fewrel"]]}
"""Further sets that a method may train on, less every relation and every sentence that the split leaves unseen."""

TURNED_ROUND = {name: frozenset({"P569", "P570", "P571", "P577"}) for name in FILES["wikizsl"]}
"""Dates are heads in Wiki-ZSL and tails everywhere else: not to be mixed into another set's training."""

FIRST_EDGE = "first_edge"
"""Marks the one pair of a Wiki-ZSL sentence that the papers keep; the others are neither trained on nor tested."""

ONE_WORDING = "catalogue, one wording"

UNLABELLED = 5_000
"""Most instances without labels that a method may learn from."""

COMPLETE = 700
"""Instances that FewRel has of each of its relations."""


@dataclass(frozen=True, slots=True)
class SplitData:
    """One split, read.

    Attributes:
        name: of the split, such as `fewrel_m15_seed42`.
        unseen: number of relations tested, m.
        seed: of the split.
        training: what may be learnt from and chosen by.
        test: examples of the unseen relations.
        unlabelled: other instances of them and of the relations of `valid`, which are unseen, too; their labels are
            not known.
        described: the tested relations by who described them, `published` or `catalogue`, and as `one wording` the
            latter without their paraphrases.
        missing: what the data at hand lack of the published set, in words; empty if nothing.
        files: names of the files trained on.
    """

    name: str
    dataset: str
    unseen: int
    seed: str
    training: TrainingData
    test: list[Example]
    unlabelled: list[Instance]
    described: dict[str, list[Relation]]
    missing: str
    files: list[str]


def read_split_data(
    data: Path,
    name: str,
    recipe: Recipe,
    *,
    extra: bool,
    catalogue: bool,
    written: bool = False,
    test_per_relation: int,
    trained_for: Sequence[str] = (),
) -> SplitData:
    """Read a split and its data.

    Args:
        data: directory with the instance files, `splits/` and `descriptions/`.
        name: of the split.
        recipe: how much is trained on.
        extra: train on the other public sets besides.
        catalogue: train with this project's own wordings besides the published descriptions.
        written: train on the sentences besides that this project wrote, of relations that no public set has.
        test_per_relation: most test instances of a relation, drawn at random; 0 takes all.
        trained_for: splits of the same data set that together leave all of this one's tested relations unseen: what
            none of them leaves unseen is trained on, so that one training serves them all. By default, this split.

    Raises:
        DataError: a file is missing or cannot be used, or `trained_for` trains on a relation that is tested.
    """
    dataset, unseen, seed = _parsed(name)
    split = read_split(data / "splits" / f"{name}.json")
    wider = _wider(data, name, split, trained_for) if trained_for else split
    published = read_published(data / "descriptions" / f"{dataset}_emma_rematching_alignre.json")
    ours = read_relations(CATALOGUE)
    own = [read_examples(data / file, flagged=FIRST_EDGE)[0] for file in FILES[dataset]]
    test = _drawn((x for file in own for x in file if x.relation in split.test), test_per_relation, recipe.seed)
    files = [*FILES[dataset], *(EXTRA[dataset] if extra else ())]
    relations = _merged(published, ours) if catalogue or extra else published
    resembling: Resemblances = {}
    if written:
        relations = relations | read_relations(WRITTEN)
        resembling = read_resemblances([WRITTEN])
    training = training_data(
        [
            read_examples(
                data / file,
                per_relation=recipe.per_relation,
                seed=recipe.seed,
                without=TURNED_ROUND.get(file, frozenset()) if file not in FILES[dataset] else frozenset(),
                flagged=FIRST_EDGE,
            )[0]
            for file in files
        ]
        + ([read_examples(SENTENCES)[0]] if written else []),
        relations,
        split=wider,
        valid_fraction=recipe.valid_fraction,
        seed=recipe.seed,
        resembling=resembling,
    )
    tested = sorted(split.test)
    return SplitData(
        name,
        dataset,
        unseen,
        seed,
        training,
        test,
        _unlabelled(own, wider.test | wider.valid, test, recipe.seed),
        {
            "published": [published[x] for x in tested],
            "catalogue": [ours[x] for x in tested],
            ONE_WORDING: [replace(ours[x], paraphrases=()) for x in tested],
        },
        _missing(dataset, own, split),
        [*files, *([SENTENCES.name] if written else [])],
    )


def _wider(data: Path, name: str, split: Split, trained_for: Sequence[str]) -> Split:
    others = [x for x in trained_for if _parsed(x)[0] != _parsed(name)[0]]
    if others:
        raise DataError(f"{others[0]} is of another data set than {name}: its training data cannot be taken")
    splits = [read_split(data / "splits" / f"{x}.json") for x in trained_for]
    test = frozenset[str]().union(*(x.test for x in splits))
    seen = split.test - test
    if seen:
        raise DataError(
            f"{name} cannot be tested with what was trained for {', '.join(trained_for)}, which leaves "
            f"{', '.join(sorted(seen))} not unseen: give a split whose test relations have all of {name}'s among them"
        )
    valid = frozenset[str]().union(*(x.valid for x in splits)) - test
    return Split(frozenset.intersection(*(x.train for x in splits)), valid, test)


def read_published(path: Path) -> dict[str, Relation]:
    """The descriptions that the papers used, from their published JSON: RE-Matching's hand-edited ones.

    They read "label is description", as tokens; the label is taken off, since it is the relation's name here.

    Raises:
        DataError: the file is missing or has another form.
    """
    try:
        rows: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {name: _published(name, row) for name, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not the published descriptions ({error!r})") from error


def _published(name: str, row: dict[str, Any]) -> Relation:
    label = row.get("name") or row["alignre"]["name"]
    text = " ".join(row["processed"]["description"])
    description = text.removeprefix(f"{label} is ").removeprefix(f"{label} are ")
    types = {end: dict.fromkeys([*row["processed"][end], *row["addsynonym"][end]]) for end in ("h", "t")}
    return Relation(name, label, description, head_types=tuple(types["h"]), tail_types=tuple(types["t"]))


def _parsed(name: str) -> tuple[str, int, str]:
    try:
        dataset, unseen, seed = name.split("_")
        if dataset in FILES and unseen.startswith("m") and seed.startswith("seed"):
            return dataset, int(unseen[1:]), seed[4:]
    except ValueError:
        pass
    raise DataError(f"{name!r} is not the name of a split: expected one such as fewrel_m15_seed42")


def _merged(first: dict[str, Relation], second: dict[str, Relation]) -> dict[str, Relation]:
    """All relations of both; one that both have keeps the first's description and gains the second's wordings."""
    merged = second | first
    for name in first.keys() & second.keys():
        more = second[name]
        merged[name] = replace(first[name], paraphrases=more.wordings(), inverse=more.inverse, symmetric=more.symmetric)
    return dict(sorted(merged.items()))


def _drawn(examples: Iterable[Example], most: int, seed: int) -> list[Example]:
    by_relation: defaultdict[str | None, list[Example]] = defaultdict(list)
    for example in examples:
        by_relation[example.relation].append(example)
    draw = random.Random(seed)
    return [
        x
        for _, pool in sorted(by_relation.items(), key=lambda item: str(item[0]))
        for x in (draw.sample(pool, min(most, len(pool))) if most else pool)
    ]


def _unlabelled(
    files: Iterable[Iterable[Example]], unseen: frozenset[str], test: Sequence[Example], seed: int
) -> list[Instance]:
    tested = {x.instance.sentence for x in test}
    found = {
        x.instance: None for file in files for x in file if x.relation in unseen and x.instance.sentence not in tested
    }
    return random.Random(seed).sample(list(found), min(UNLABELLED, len(found)))


def _missing(dataset: str, files: list[list[Example]], split: Split) -> str:
    counts = [
        {name: sum(x.relation == name for x in file) for name in split.test if any(x.relation == name for x in file)}
        for file in files
    ]
    if dataset == "wikizsl":
        sampled = len(split.test - counts[0].keys())
        return f"{sampled} of {len(split.test)} tested relations are there as a small sample only" if sampled else ""
    partial = sum(count < COMPLETE for count in counts[0].values())
    total = sum(counts[0].values())
    return (
        f"{partial} relations are not whole, {len(split.test) * COMPLETE - total:,} instances less" if partial else ""
    )
