"""One cell of the zero-shot comparison: a method trained and tested on a split, and what came out, as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from models.baselines.emma import Emma
from models.baselines.method import Answers, Method
from models.bench.data import ONE_WORDING, SplitData, read_split_data
from models.bench.methods import METHODS
from models.bench.open_set import measure
from models.job.metrics import paper_scores, recall_at, standard_scores
from models.job.recipe import Recipe

RANKS = (1, 2, 3, 5, 10)
BOOTSTRAPS = 200
"""Draws of the test instances by which a score's standard error is estimated."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is run, and where things are.

    Attributes:
        data: directory of the public data.
        cells: directory of the results, one JSON file for each cell.
        runs: directory of training states and checkpoints.
        recipe: the settings common to all methods.
        test_per_relation: most test instances of a relation; 0 takes all.
        ks: numbers of candidates that are read.
        command: as it was typed, for the record.
        trained_for: splits that one training serves, with all their tested relations unseen; by default, each split
            is trained for by itself.
    """

    data: Path
    cells: Path
    runs: Path
    recipe: Recipe
    test_per_relation: int
    ks: tuple[int, ...]
    command: str
    trained_for: tuple[str, ...] = ()

    def file(self, split: str, method: str) -> Path:
        """Where a cell's result is."""
        return self.cells / f"{split}.{method}.json"

    def run(self, split: str, method: str, progress: Progress) -> dict[str, Any]:
        """A cell's result: read if it is there, else trained, tested and written.

        Raises:
            models.job.dataset.DataError: the data cannot be used.
            models.job.checkpoint.CheckpointError: `runs` holds another run of that name.
        """
        file = self.file(split, method)
        if file.is_file():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
        entry = METHODS[method]
        trained_for = "+".join(self.trained_for or (split,))
        recipe = self.recipe.model_copy(update=entry.settings)
        recipe = Recipe.model_validate(recipe.model_dump())
        data = read_split_data(
            self.data,
            split,
            recipe,
            extra=entry.extra,
            catalogue=entry.catalogue,
            written=entry.written,
            test_per_relation=self.test_per_relation,
            trained_for=self.trained_for,
        )
        built = entry.make(recipe)
        folder = self.runs / f"{trained_for}.{method}"
        history = built.train(data.training, folder, progress)
        sets = ["published", "catalogue", ONE_WORDING] if entry.catalogue else ["published"]

        def adapt(described: str) -> None:
            # One training serves several splits, whose relations are others.
            states = folder / split / described
            steps = built.adapt(data.training, data.unlabelled, data.described[described], states, progress)
            history.extend({"descriptions": described} | row for row in steps)

        cell = {
            "split": split,
            "dataset": data.dataset,
            "unseen": data.unseen,
            "seed": data.seed,
            "method": method,
            "title": entry.title,
            "test": {"instances": len(data.test), "per_relation": self.test_per_relation, "missing": data.missing},
            "trained_on": {
                "for": trained_for,
                "files": data.files,
                "related": sum(x.relation is not None for x in data.training.train),
                "unrelated": sum(x.relation is None for x in data.training.train),
                "relations": len(data.training.train_relations),
            },
            "rows": list(_rows(built, data, sets, self.ks, adapt)),
            "open_set": _open_set(built, self.data, data, recipe.seed),
            "history": history,
            "recipe": recipe.public(),
            "command": self.command,
            "machine": machine(),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(_one_line_a_row(cell), encoding="utf-8")
        partial.replace(file)
        return cell


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores, no GPU"
    return {"hardware": device, "python": platform.python_version(), "torch": version("torch")}


def _open_set(method: Method, folder: Path, data: SplitData, seed: int) -> list[dict[str, Any]]:
    """Of EMMA as built only: no other method that is compared can answer null."""
    if not isinstance(method, Emma) or method.checkpoint.classifier is None or method.recipe.reading == "published":
        return []
    found = measure(method.checkpoint, folder, data.test, data.described["catalogue"], seed)
    return [{"set": name, **figures} for name, figures in found.items()]


def _one_line_a_row(cell: dict[str, Any]) -> str:
    """JSON whose rows and epochs are one line each, so that a change of one shows as one."""
    lists = {name: ",\n".join(f"  {json.dumps(row)}" for row in cell[name]) for name in ("history", "open_set", "rows")}
    plain = json.dumps({name: value for name, value in cell.items() if name not in lists}, indent=1)
    long = "".join(f',\n "{name}": [\n{lines}\n ]' for name, lines in lists.items())
    return plain.removesuffix("\n}") + long + "\n}\n"


def _rows(
    method: Method, data: SplitData, sets: Sequence[str], ks: Sequence[int], adapt: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    instances = [x.instance for x in data.test]
    gold = [str(x.relation) for x in data.test]
    for described in sets:
        relations = data.described[described]
        if described != ONE_WORDING:
            adapt(described)
        column = {relation.id: i for i, relation in enumerate(relations)}
        truth = np.array([column[x] for x in gold])
        # Paraphrases change what recall finds; the classifier reads the principal wording alone.
        for answers in islice(method.answer(instances, relations, ks), 1 if described == ONE_WORDING else None):
            yield {
                "descriptions": described,
                "variant": answers.variant,
                "k": answers.k,
                **_figures(gold, answers),
                "cpu_ms_per_sentence": round(1000 * answers.cpu_seconds / len(gold), 2),
            }
        yield {
            "descriptions": described,
            "variant": "recall@k",
            "recall_at": recall_at(method.score(instances, relations), truth, RANKS),
        }


def _figures(gold: list[str], answers: Answers) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    chosen = np.array(answers.chosen)
    truth = np.array(gold)
    drawn = []
    for _ in range(BOOTSTRAPS):
        rows = draw.integers(0, len(gold), len(gold))
        drawn.append(standard_scores(truth[rows].tolist(), chosen[rows].tolist()).f1)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for true, answer in zip(gold, answers.chosen, strict=True):
        counts[true][answer] += 1
    return {
        "paper": paper_scores(gold, answers.chosen).to_json(),
        "sklearn": standard_scores(gold, answers.chosen).to_json(),
        "standard_error": float(np.std(drawn)),
        "answers": {true: dict(sorted(counts[true].items())) for true in sorted(counts)},
    }
