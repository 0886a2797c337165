from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from models.baselines import re_matching
from models.baselines.mentions import marked_tensors
from models.baselines.re_matching import ReMatching, ReMatchingStage, TypesForm, relevant_part, types_text
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.relation import Relation
from tests.models.baselines.resumption import assert_resumes, directions, few, some, train_alone
from tests.models.support import flat

Make = Callable[..., Recipe]
SPOUSE = Relation("P26", "spouse", "They are married.", head_types=("person", "human"), tail_types=("husband", "wife"))
PLAIN = Relation("P40", "child", "The head is a parent.")


@pytest.fixture(scope="module")
def data(tiny_recipe: Make, tiny_training: Callable[..., TrainingData]) -> TrainingData:
    """Relations with types at one end, at both or at none."""
    found = tiny_training(tiny_recipe())
    types = [("person",), ("film", "book"), ()]
    relations = {
        name: replace(relation, head_types=types[i % 3], tail_types=types[(i + i // 3) % 3])
        for i, (name, relation) in enumerate(found.relations.items())
    }
    return replace(found, relations=relations)


@pytest.fixture
def method(tiny_recipe: Make) -> ReMatching:
    found = ReMatching(tiny_recipe(paraphrases=False))
    found.tower.eval()
    return found


@pytest.fixture
def stage(method: ReMatching, data: TrainingData) -> ReMatchingStage:
    return ReMatchingStage(method, data)


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def test_what_is_irrelevant_is_taken_out_of_the_context() -> None:
    context, irrelevant = torch.randn(3, 8), torch.randn(3, 8)
    found = relevant_part(context, irrelevant)
    torch.testing.assert_close((found * irrelevant).sum(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(relevant_part(context + 2.5 * irrelevant, irrelevant), found, atol=1e-5, rtol=1e-4)


def test_a_context_without_anything_irrelevant_stays_as_it_is() -> None:
    context = torch.tensor([[1.0, 2.0, 0.0]])
    torch.testing.assert_close(relevant_part(context, torch.tensor([[0.0, 0.0, 3.0]])), context)
    torch.testing.assert_close(relevant_part(context, torch.zeros(1, 3)), context)


def test_a_context_of_nothing_but_the_irrelevant_becomes_nothing() -> None:
    context = torch.tensor([[1.0, 2.0, 0.0]], requires_grad=True)
    found = relevant_part(context, torch.tensor([[2.0, 4.0, 0.0]]))
    torch.testing.assert_close(found, torch.zeros(1, 3))
    backward(found.sum())
    assert context.grad is not None
    assert torch.isfinite(context.grad).all()


def test_the_score_is_the_weighted_sum_of_three_cosines(method: ReMatching, data: TrainingData) -> None:
    instances, _ = some(data)
    batch = marked_tensors(method.inputs, method.inputs.instances(instances), method.device)
    masks, positions = batch["mention_masks"], batch["marker_positions"]
    tower, rows = method.tower, torch.arange(len(instances))
    with torch.inference_mode():
        hidden = tower.encoder(batch["input_ids"], batch["attention_mask"])
        heads, tails = (
            torch.stack([hidden[row, masks[row, end]].amax(dim=0) for row in rows]).tanh() for end in (0, 1)
        )
        markers = torch.cat([hidden[rows, positions[:, 0]], hidden[rows, positions[:, 1]]], dim=1)
        context = tower.context(markers)
        # The pool of what is irrelevant starts as the mean.
        mean = torch.stack([hidden[row, batch["attention_mask"][row] == 1].mean(dim=0) for row in rows])
        along = (context * mean).sum(dim=1, keepdim=True) / mean.square().sum(dim=1, keepdim=True)
        context = (context - along * mean).tanh()
    texts = ["spouse: They are married."]
    types = [f"the entity types including {names}" for names in ("person and human", "husband and wife")]
    described = torch.from_numpy(method.frozen.vectors([*types, *texts]))
    cosines = [cosine_similarity(x, y[None]) for x, y in zip((heads, tails, context), described, strict=True)]
    expected = 0.33 * (cosines[0] + cosines[1]) + 0.34 * cosines[2]
    found = method.score(instances, [SPOUSE])[:, 0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_both_sides_have_unit_vectors(method: ReMatching, data: TrainingData) -> None:
    instances, relations = some(data)
    for vectors in (method.encode_instances(instances), method.encode_descriptions(relations)):
        assert vectors.shape[1] == 3 * method.frozen.width
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_an_instances_vector_does_not_depend_on_the_others_in_its_batch(method: ReMatching, data: TrainingData) -> None:
    instances, _ = some(data)
    together = method.encode_instances(instances)
    for row, instance in enumerate(instances):
        np.testing.assert_allclose(method.encode_instances([instance])[0], together[row], atol=1e-5)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("keyword", "husband"),
        ("synonyms", "husband, wife"),
        ("template", "the entity types including husband and wife"),
    ],
)
def test_types_become_text_in_three_forms(tiny_recipe: Make, form: TypesForm, text: str) -> None:
    assert types_text(SPOUSE.tail_types, form) == text
    method = ReMatching(tiny_recipe(), form)
    third = method.encode_descriptions([SPOUSE])[0].reshape(3, -1)[1]
    np.testing.assert_allclose(third, 0.33**0.5 * method.frozen.vectors([text])[0], atol=1e-6)


def test_a_relation_without_types_is_described_at_both_ends_by_its_description(method: ReMatching) -> None:
    head, tail, text = method.encode_descriptions([PLAIN])[0].reshape(3, -1)
    described = method.frozen.vectors(["child: The head is a parent."])[0]
    for part, weight in ((head, 0.33), (tail, 0.33), (text, 0.34)):
        np.testing.assert_allclose(part, weight**0.5 * described, atol=1e-6)


def test_the_wrong_relations_are_seven_seen_ones_that_are_not_true(stage: ReMatchingStage) -> None:
    row = 0
    also = next(name for name in stage.data.train_relations if name != stage.examples[row].relation)
    stage.examples[row] = replace(stage.examples[row], also=frozenset({also}))
    allowed = set(stage.data.train_relations) - {also, stage.examples[row].relation}
    drawn = [stage.negatives(row, random.Random(seed)) for seed in range(30)]
    assert all(len(set(names)) == 7 for names in drawn)
    assert {name for names in drawn for name in names} == allowed


def test_where_fewer_relations_are_seen_all_others_are_wrong(stage: ReMatchingStage) -> None:
    stage.data = replace(stage.data, train_relations=[str(stage.examples[0].relation), "P1", "P2"])
    assert sorted(stage.negatives(0, random.Random(0))) == ["P1", "P2"]


def test_the_loss_is_the_margin_and_the_adversarys_cross_entropy(
    stage: ReMatchingStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, names = [0, 30, 60], stage.data.train_relations
    wrong = {row: [x for x in names if x not in stage.holds(row)][:2] for row in rows}
    monkeypatch.setattr(stage, "negatives", lambda row, draw: wrong[row])
    scores = stage.method.score(
        [stage.examples[row].instance for row in rows], [stage.data.relations[name] for name in names]
    )
    gold = stage.gold(rows)
    leads = [
        scores[i, gold[i]] - max(scores[i, names.index(name)] for name in wrong[row]) for i, row in enumerate(rows)
    ]
    matching = sum(max(0.0, re_matching.MARGIN - lead) for lead in leads) / len(rows)
    irrelevant = stage.method.tower(**stage.batch(rows))[1]
    expected = matching + cross_entropy(stage.adversary(irrelevant), gold).item()
    assert stage.loss(rows, random.Random(0)).item() == pytest.approx(expected, abs=1e-4)


def test_the_adversary_does_not_reach_the_encoder(stage: ReMatchingStage) -> None:
    rows = stage.batches(0)[0]
    irrelevant = stage.method.tower(**stage.batch(rows))[1]
    backward(cross_entropy(stage.adversary(irrelevant), stage.gold(rows)))
    reached = {name for name, p in stage.module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {name.split(".")[0] for name in reached if name != "tower.irrelevant.weight"} == {"adversary"}
    assert "tower.irrelevant.weight" in reached


def test_the_matching_loss_reaches_all_of_the_tower(stage: ReMatchingStage) -> None:
    backward(stage.loss(stage.batches(0)[0], random.Random(0)))
    missed = [name for name, p in stage.module.named_parameters() if p.grad is None]
    assert missed == []


def test_a_relations_vector_does_not_change_in_training(tiny_recipe: Make, data: TrainingData, tmp_path: Path) -> None:
    method = ReMatching(tiny_recipe(recall_epochs=1))
    _, relations = some(data)
    described, started = method.encode_descriptions(relations), flat(method.tower)
    train_alone(method, data, tmp_path)
    assert np.array_equal(ReMatching(method.recipe).encode_descriptions(relations), described)
    assert np.array_equal(method.encode_descriptions(relations), described)
    assert not torch.equal(flat(method.tower), started)


def test_training_learns_to_tell_its_relations_apart(
    tiny_recipe: Make, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = ReMatching(tiny_recipe(paraphrases=False, recall_epochs=20))
    monkeypatch.setattr(method.frozen, "vectors", directions)
    history = train_alone(method, few(data), tmp_path)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert max(row["score"] for row in history) > 90


def test_a_killed_run_goes_on_to_the_same_scores(tiny_recipe: Make, data: TrainingData, tmp_path: Path) -> None:
    assert_resumes(ReMatching, tiny_recipe(recall_epochs=2), data, tmp_path, steps=11)
