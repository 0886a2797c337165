from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from models.baselines.related import RelatedStage
from models.baselines.zs_bert import ZsBert, ZsBertStage
from models.job.dataset import TrainingData
from models.job.recipe import Recipe


@pytest.fixture(scope="module")
def stage(tiny_recipe: Callable[..., Recipe], tiny_training: Callable[..., TrainingData]) -> RelatedStage:
    recipe = tiny_recipe()
    return ZsBertStage(ZsBert(recipe), tiny_training(recipe))


def test_every_related_pair_is_read_once_an_epoch(stage: RelatedStage) -> None:
    rows = sorted(row for batch in stage.batches(0) for row in batch)
    assert rows == list(range(sum(x.relation is not None for x in stage.data.train)))


def test_batches_are_the_same_for_the_same_epoch_and_others_for_the_next(stage: RelatedStage) -> None:
    assert stage.batches(0) == stage.batches(0) != stage.batches(1)


def test_the_budget_is_that_of_recall(stage: RelatedStage) -> None:
    recipe = stage.recipe
    assert (stage.epochs, stage.learning_rate) == (recipe.recall_epochs, recipe.recall_learning_rate)
    assert max(map(len, stage.batches(0))) == recipe.recall_batch


def test_the_column_of_a_row_is_its_relations_place_among_the_seen(stage: RelatedStage) -> None:
    rows = [0, 20, 40]
    found = [stage.data.train_relations[column] for column in stage.gold(rows).tolist()]
    assert found == [stage.examples[row].relation for row in rows]


def test_all_that_is_true_of_a_pair_holds(stage: RelatedStage) -> None:
    example = stage.examples[0]
    stage.examples[0] = replace(example, also=frozenset({"P40", "P1"}))
    assert stage.holds(0) == {str(example.relation), "P40", "P1"}
    stage.examples[0] = example


def test_validation_tells_the_macro_f1_as_the_score(stage: RelatedStage) -> None:
    [(name, value)] = stage.validate().items()
    assert name == "score"
    assert 0 <= value <= 100
