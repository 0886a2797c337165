from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from models.baselines import zs_bert
from models.baselines.mentions import marked_tensors
from models.baselines.zs_bert import ZsBert, ZsBertStage
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from tests.models.baselines.resumption import assert_resumes, directions, few, some, train_alone
from tests.models.support import flat

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def data(tiny_recipe: Make, tiny_training: Callable[..., TrainingData]) -> TrainingData:
    return tiny_training(tiny_recipe())


@pytest.fixture
def method(tiny_recipe: Make) -> ZsBert:
    found = ZsBert(tiny_recipe(paraphrases=False))
    found.tower.eval()
    return found


@pytest.fixture
def stage(method: ZsBert, data: TrainingData) -> ZsBertStage:
    return ZsBertStage(method, data)


def test_an_instances_vector_is_the_formula_by_hand(method: ZsBert, data: TrainingData) -> None:
    instance = data.valid[0].instance
    batch = marked_tensors(method.inputs, method.inputs.instances([instance]), method.device)
    tower = method.tower
    with torch.inference_mode():
        hidden = tower.encoder(batch["input_ids"], batch["attention_mask"])[0]
        head, tail = (hidden[mask].sum(dim=0) for mask in batch["mention_masks"][0])
        states = torch.cat([tower.pool(hidden[0]).tanh(), head, tail]).tanh()
        expected = (tower.attributes.weight @ states + tower.attributes.bias).tanh()
    np.testing.assert_allclose(method.encode_instances([instance])[0], expected.numpy(), atol=1e-5)


def test_an_instances_vector_does_not_depend_on_the_others_in_its_batch(method: ZsBert, data: TrainingData) -> None:
    instances, _ = some(data)
    together = method.encode_instances(instances)
    for row, instance in enumerate(instances):
        np.testing.assert_allclose(method.encode_instances([instance])[0], together[row], atol=1e-5)


def test_a_descriptions_vector_is_the_frozen_encoders_with_components_of_order_1(
    method: ZsBert, data: TrainingData
) -> None:
    _, relations = some(data)
    vectors = method.encode_descriptions(relations)
    np.testing.assert_allclose(np.square(vectors).mean(axis=1), 1, rtol=1e-4)
    texts = [f"{x.name}: {x.description}" for x in relations]
    np.testing.assert_allclose(vectors, 32**0.5 * method.frozen.vectors(texts), rtol=1e-5)


def test_the_score_is_the_inner_product(method: ZsBert, data: TrainingData) -> None:
    instances, relations = some(data)
    expected = [[x @ d for d in method.encode_descriptions(relations)] for x in method.encode_instances(instances)]
    np.testing.assert_allclose(method.score(instances, relations), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_both_parts_by_hand(stage: ZsBertStage) -> None:
    rows = [0, 1, 30, 60]
    ids = sorted({str(stage.examples[row].relation) for row in rows})
    assert len(ids) == 3
    instances = [stage.examples[row].instance for row in rows]
    scores = stage.method.score(instances, [stage.data.relations[name] for name in ids])
    costs = []
    for row, values in zip(rows, scores, strict=True):
        own = ids.index(str(stage.examples[row].relation))
        costs.append(max(0.0, 7.5 - values[own] + max(np.delete(values, own))))
    with torch.inference_mode():
        logits = stage.classifier(torch.from_numpy(stage.method.encode_instances(instances)))
        expected = 0.4 * cross_entropy(logits, stage.gold(rows)).item() + 0.6 * sum(costs) / len(rows)
    assert stage.loss(rows, random.Random(0)).item() == pytest.approx(expected, rel=1e-4)


def test_another_true_relation_does_not_count_against_a_pair(stage: ZsBertStage) -> None:
    rows = [0, 60]
    alone = stage.loss(rows[1:], random.Random(0)).item() + stage.loss(rows[:1], random.Random(0)).item()
    for row, other in (rows, rows[::-1]):
        also = frozenset({str(stage.examples[other].relation)})
        stage.examples[row] = replace(stage.examples[row], also=also)
    assert stage.loss(rows, random.Random(0)).item() == pytest.approx(alone / 2, rel=1e-4)


def test_the_margin_can_be_kept() -> None:
    # A vector with the signs of a description's is as near to it as a tanh can come.
    described = directions([str(i) for i in range(20)], width=384) * 384**0.5
    scores = np.sign(described) @ described.T
    others = np.where(np.eye(20, dtype=bool), -np.inf, scores).max(axis=1)
    assert (scores.diagonal() - others > 10 * zs_bert.MARGIN).all()


def test_a_relations_vector_does_not_change_in_training(tiny_recipe: Make, data: TrainingData, tmp_path: Path) -> None:
    method = ZsBert(tiny_recipe(recall_epochs=1))
    _, relations = some(data)
    described, started = method.encode_descriptions(relations), flat(method.tower)
    train_alone(method, data, tmp_path)
    assert np.array_equal(ZsBert(method.recipe).encode_descriptions(relations), described)
    assert np.array_equal(method.encode_descriptions(relations), described)
    assert not torch.equal(flat(method.tower), started)


def test_training_learns_to_tell_its_relations_apart(
    tiny_recipe: Make, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = ZsBert(tiny_recipe(paraphrases=False, recall_epochs=20))
    monkeypatch.setattr(method.frozen, "vectors", directions)
    history = train_alone(method, few(data), tmp_path)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert max(row["score"] for row in history) > 90


def test_a_killed_run_goes_on_to_the_same_scores(tiny_recipe: Make, data: TrainingData, tmp_path: Path) -> None:
    assert_resumes(ZsBert, tiny_recipe(recall_epochs=2), data, tmp_path, steps=11)
