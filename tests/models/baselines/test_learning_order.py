from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.baselines.finecl import FineCl
from models.baselines.learning_order import ALPHA, ORDER_EPOCHS, LearningOrderStage, mean_pooled, order_weights
from models.job.dataset import TrainingData
from models.job.loop import run_stage
from models.job.recipe import Recipe
from tests.models.support import Deadly, Killed, flat, quiet

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]


def test_early_learnt_instances_weigh_more() -> None:
    weights = order_weights(torch.tensor([0, 1, 2, 3]))
    assert (weights.diff() < 0).all()


def test_a_weight_is_equation_5() -> None:
    found = order_weights(torch.tensor([5, 2, 1, 4]), alpha=3.0)
    torch.testing.assert_close(found, torch.tensor([3.0**0, 3.0**0.75, 3.0, 3.0**0.25]))


def test_weights_go_from_alpha_to_1() -> None:
    found = order_weights(torch.tensor([2, 0, 7]))
    torch.testing.assert_close(found[1:], torch.tensor([ALPHA, 1.0]))


@pytest.mark.parametrize("k", [0, ORDER_EPOCHS])
def test_instances_that_were_all_learnt_at_once_weigh_1(k: int) -> None:
    assert order_weights(torch.full((4,), k)).tolist() == [1, 1, 1, 1]


def test_a_mention_is_the_mean_of_its_token_states() -> None:
    hidden, masks = torch.randn(2, 5, 3), torch.zeros(2, 2, 5, dtype=torch.bool)
    masks[0, 0, 1:3] = masks[0, 1, 4] = masks[1, 0, 3] = masks[1, 1, 0:3] = True
    first = torch.stack([hidden[0, 1:3].mean(dim=0), hidden[0, 4]])
    second = torch.stack([hidden[1, 3], hidden[1, :3].mean(dim=0)])
    torch.testing.assert_close(mean_pooled(hidden, masks), torch.stack([first, second]))


def test_a_mean_is_taken_in_full_precision_within_autocast() -> None:
    masks = torch.ones(1, 1, 5, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mean_pooled(torch.randn(1, 5, 3).bfloat16(), masks).dtype == torch.float32


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Make) -> Recipe:
    return tiny_recipe(recall_batch=64)


@pytest.fixture(scope="module")
def data(recipe: Recipe, tiny_training: Data) -> TrainingData:
    return tiny_training(recipe)


@pytest.fixture
def stage(recipe: Recipe, data: TrainingData) -> LearningOrderStage:
    """A stage of a fresh model, without dropout."""
    found = LearningOrderStage(FineCl(recipe), data)
    found.module.eval()
    return found


def predictions(stage: LearningOrderStage, rows: list[int]) -> torch.Tensor:
    batch = stage.batch(rows)
    batch.pop("marker_positions")
    with torch.no_grad():
        logits: torch.Tensor = stage.classifier(**batch)
    return logits


def test_the_loss_is_the_cross_entropy_of_the_seen_relations(stage: LearningOrderStage) -> None:
    rows = stage.batches(0)[0]
    gold = torch.tensor([stage.data.train_relations.index(str(stage.examples[row].relation)) for row in rows])
    expected = cross_entropy(predictions(stage, rows), gold)
    torch.testing.assert_close(stage.loss(rows, random.Random(0)), expected)


def test_another_true_relation_does_not_count_against_an_instance(stage: LearningOrderStage) -> None:
    before = stage.loss([0], random.Random(0))
    others = frozenset(stage.data.train_relations) - {str(stage.examples[0].relation)}
    stage.examples[0] = replace(stage.examples[0], also=others)
    assert before > 0
    assert stage.loss([0], random.Random(0)) == 0


def test_nothing_is_learnt_at_the_start(stage: LearningOrderStage) -> None:
    assert (stage.classifier.order == ORDER_EPOCHS).all()
    assert stage.validate() == {"score": 0}


def test_what_is_predicted_right_is_learnt_in_this_epoch(stage: LearningOrderStage) -> None:
    rows = [row for batch in stage.batches(1) for row in batch]
    right = predictions(stage, rows).argmax(dim=1) == stage.gold(rows)
    stage.loss(rows, random.Random(0))
    assert 0 < right.sum() < len(rows)
    found = stage.classifier.order[torch.tensor(rows)]
    assert torch.equal(found, torch.where(right, 1, ORDER_EPOCHS))


def test_what_was_learnt_keeps_its_epoch(stage: LearningOrderStage) -> None:
    rows = stage.batches(0)[0]
    stage.loss(rows, random.Random(0))
    before = stage.classifier.order.clone()
    stage.batches(2)
    stage.loss(rows, random.Random(0))
    assert torch.equal(stage.classifier.order, before)


def test_the_score_is_the_percentage_learnt(stage: LearningOrderStage) -> None:
    stage.classifier.order[:3] = torch.tensor([0, 1, 2])
    assert stage.validate()["score"] == pytest.approx(100 * 3 / len(stage.examples))


def test_the_order_is_told_without_touching_the_methods_own_encoder(recipe: Recipe, data: TrainingData) -> None:
    method = FineCl(recipe)
    stage = LearningOrderStage(method, data)
    first, second = ({p.data_ptr() for p in x.parameters()} for x in (stage.module, method.checkpoint.recall))
    assert first.isdisjoint(second)


def order_of(recipe: Recipe, data: TrainingData, folder: Path, kill: int | None = None) -> LearningOrderStage:
    """The stage, run to its end, or killed after some steps and then run to its end."""
    torch.set_num_threads(1)
    if kill is not None:
        with pytest.raises(Killed), Deadly(kill) as progress:
            run_stage(LearningOrderStage(FineCl(recipe), data), folder, progress)
    stage = LearningOrderStage(FineCl(recipe), data)
    with quiet() as progress:
        run_stage(stage, folder, progress)
    return stage


@pytest.fixture(scope="module")
def whole(recipe: Recipe, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> LearningOrderStage:
    return order_of(recipe, data, tmp_path_factory.mktemp("whole"))


def test_instances_are_learnt_in_all_epochs_and_some_are_not(whole: LearningOrderStage) -> None:
    assert sorted(set(whole.classifier.order.tolist())) == list(range(ORDER_EPOCHS + 1))


@pytest.mark.parametrize("steps", [2, 4, 8], ids=["in the first epoch", "in the next", "near the end"])
def test_a_killed_and_resumed_stage_gives_the_same_order_and_weights(
    recipe: Recipe, data: TrainingData, whole: LearningOrderStage, tmp_path: Path, steps: int
) -> None:
    resumed = order_of(recipe, data, tmp_path, steps)
    assert torch.equal(resumed.classifier.order, whole.classifier.order)
    assert torch.equal(flat(resumed.module), flat(whole.module))
