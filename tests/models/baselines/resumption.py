"""A method's training, killed and gone on with, against one that was not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.baselines.method import StagedMethod
from models.chunks import Vectors
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import Instance
from tests.models.support import Deadly, Killed, quiet


def train_alone(method: StagedMethod, data: TrainingData, folder: Path) -> list[dict[str, Any]]:
    """Train without a display, on one thread."""
    torch.set_num_threads(1)
    with quiet() as progress:
        return method.train(data, folder, progress)


def assert_resumes(
    make: Callable[[Recipe], StagedMethod], recipe: Recipe, data: TrainingData, folder: Path, steps: int
) -> None:
    """Kill after some steps, go on with a method made anew, and compare metrics and scores to the last bit."""
    whole, killed, resumed = make(recipe), make(recipe), make(recipe)
    expected = train_alone(whole, data, folder / "whole")
    with pytest.raises(Killed), Deadly(steps) as progress:
        killed.train(data, folder / "killed", progress)
    assert train_alone(resumed, data, folder / "killed") == expected
    instances, relations = some(data)
    assert (resumed.score(instances, relations) == whole.score(instances, relations)).all()


def directions(texts: Sequence[str], width: int = 32) -> Vectors:
    """A random unit vector for each text; the untrained encoder of the tests gives all texts nearly the same."""
    drawn = np.stack([np.random.default_rng(list(text.encode())).normal(size=width) for text in texts])
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def few(data: TrainingData) -> TrainingData:
    """Few enough pairs, of three relations, to be learnt by heart; validation asks for them again."""
    names = ["P26", "P40", "P57"]
    train = [x for name in names for x in [x for x in data.train if x.relation == name and not x.also][:5]]
    return replace(data, train=train, valid=train, train_relations=names, valid_relations=names)


def some(data: TrainingData) -> tuple[list[Instance], list[Relation]]:
    """A few instances of different length, and all relations."""
    return [x.instance for x in data.valid[:7]], list(data.relations.values())
