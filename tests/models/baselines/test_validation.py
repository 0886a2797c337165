from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.progress import Progress

from models.baselines.method import Method
from models.baselines.validation import macro_f1
from models.chunks import Vectors
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from models.job.stage import Stage
from models.relation import Relation
from models.text import Instance
from tests.models.support import related

RELATIONS = {name: Relation(name, name, name) for name in "abcd"}


class Letters(Method):
    """Scores the relation of the same letter as the sentence's first word highest."""

    def train(self, data: TrainingData, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        return []

    def score(self, instances: Sequence[Instance], relations: Sequence[Relation]) -> Vectors:
        return np.array([[float(x.sentence[0] == r.id) for r in relations] for x in instances], dtype=np.float32)


def stage(valid: list[Example], candidates: str, make: Callable[..., Recipe], **settings: int) -> Stage:
    data = TrainingData([], valid, RELATIONS, ["d"], list(candidates))
    recipe = make(**settings)
    found = SimpleNamespace(data=data, recipe=recipe)
    found.valid_examples = lambda: Stage.valid_examples(cast(Stage, found))
    return cast(Stage, found)


def test_the_score_is_the_mean_of_the_relations_f1(tiny_recipe: Callable[..., Recipe]) -> None:
    # a: precision 1, recall 1/2; b: precision 1/2, recall 1.
    valid = [related("a", sentence=f"{x} is in it .") for x in "ab"] + [related("b", sentence="b is in it .")]
    assert macro_f1(Letters(), stage(valid, "abc", tiny_recipe)) == {"score": pytest.approx(100 * 2 / 3)}


def test_only_validations_relations_can_be_chosen(tiny_recipe: Callable[..., Recipe]) -> None:
    # "d" is not among them, and so the first is chosen where the sentence says d.
    valid = [related("a", sentence="d is in it ."), related("b", sentence="b is in it .")]
    assert macro_f1(Letters(), stage(valid, "ab", tiny_recipe)) == {"score": 100.0}


def test_unrelated_pairs_and_those_over_the_limit_are_not_read(tiny_recipe: Callable[..., Recipe]) -> None:
    valid = [related(None, sentence="b is in it ."), *[related("a", sentence=f"{x} is in it .") for x in "aab"]]
    assert macro_f1(Letters(), stage(valid, "ab", tiny_recipe, valid_instances=2)) == {"score": 100.0}
