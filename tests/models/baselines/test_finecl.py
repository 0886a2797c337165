from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.baselines import finecl as module
from models.baselines.discrimination import entity_discrimination, relation_discrimination
from models.baselines.finecl import FineCl, FineClStage
from models.baselines.learning_order import LearningOrderStage, mean_pooled, order_weights
from models.job.dataset import TrainingData
from models.job.loop import run_stage
from models.job.recipe import Recipe
from models.job.scoring import score
from models.job.stages import RecallStage
from models.relation import Relation
from tests.models.baselines.resumption import assert_resumes, train_alone
from tests.models.support import flat, mentions, quiet

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Make) -> Recipe:
    return tiny_recipe(per_relation=6, recall_epochs=1, recall_batch=16, recall_start_share=0, paraphrases=False)


@pytest.fixture(scope="module")
def data(recipe: Recipe, tiny_training: Data) -> TrainingData:
    return tiny_training(recipe)


@pytest.fixture
def stage(recipe: Recipe, data: TrainingData) -> FineClStage:
    """A stage of a fresh model whose instances all weigh the same, without dropout."""
    found = FineClStage(FineCl(recipe), data, torch.ones(len(data.train)))
    found.module.eval()
    return found


def test_the_stages_are_the_order_the_pre_training_and_recall(recipe: Recipe, data: TrainingData) -> None:
    kinds = [type(x) for x in FineCl(recipe).stages(data)]
    assert kinds == [LearningOrderStage, FineClStage, RecallStage]


def test_the_pre_training_is_weighed_by_the_order_that_was_recorded(recipe: Recipe, data: TrainingData) -> None:
    stages = FineCl(recipe).stages(data)
    first = next(stages)
    assert isinstance(first, LearningOrderStage)
    first.classifier.order[::2] = 0
    second = next(stages)
    assert isinstance(second, FineClStage)
    assert torch.equal(second.weights, order_weights(first.classifier.order))
    assert second.weights[0] > second.weights[1]


def test_recall_starts_from_the_pre_trained_encoder(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    method = FineCl(recipe)
    before = flat(method.checkpoint.recall.encoder)
    _, pretraining, recall = method.stages(data)
    with quiet() as progress:
        run_stage(pretraining, tmp_path, progress)
    assert isinstance(recall, RecallStage)
    assert recall.module is method.checkpoint.recall
    after = flat(recall.module.encoder)
    assert not torch.equal(after, before)
    assert torch.equal(after, flat(pretraining.module["encoder"]))  # type: ignore[index]


def test_the_loss_is_the_sum_of_the_three(stage: FineClStage, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = stage.batches(0)[0]
    parts: dict[str, Tensor] = {}
    for name in ("entity_discrimination", "relation_discrimination"):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, whole=whole, name=name: parts.setdefault(name, whole(*given)))
    language = stage.head.loss
    monkeypatch.setattr(stage.head, "loss", lambda *given: parts.setdefault("language", language(*given)))
    found = stage.loss(rows, random.Random(0))
    assert len(parts) == 3
    assert all(part > 0 for part in parts.values())
    torch.testing.assert_close(found, torch.stack(list(parts.values())).sum())


def unmasked(stage: FineClStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every token as it is, so that no language modelling is part of the loss."""
    monkeypatch.setattr(
        type(stage.method.masker), "masked", lambda self, ids, protected, draw: (ids, torch.zeros_like(ids).bool())
    )


def test_without_masks_both_discriminations_are_left(stage: FineClStage, monkeypatch: pytest.MonkeyPatch) -> None:
    unmasked(stage, monkeypatch)
    rows = stage.batches(0)[0]
    batch = stage.batch(rows)
    hidden = stage.encoder(batch["input_ids"], batch["attention_mask"])
    pooled = mean_pooled(hidden, batch["mention_masks"])
    tau = stage.recipe.temperature
    entity = entity_discrimination(stage.queries(rows), pooled[:, 1], stage.also_answers(rows), tau)
    relation = relation_discrimination(pooled.flatten(1), stage.same(rows), torch.ones(len(rows)), tau)
    torch.testing.assert_close(stage.loss(rows, random.Random(0)), entity + relation)


def test_an_instances_weight_is_that_of_its_own_row(stage: FineClStage, monkeypatch: pytest.MonkeyPatch) -> None:
    unmasked(stage, monkeypatch)
    first, second = [row for row, x in enumerate(stage.examples) if x.relation == "P26"][:2]
    other = next(row for row, x in enumerate(stage.examples) if x.relation == "P40")
    rows = [first, second, other]
    before = stage.loss(rows, random.Random(0))
    for row, changes in ((first, True), (next(x for x in range(len(stage.examples)) if x not in rows), False)):
        stage.weights = torch.ones(len(stage.examples))
        stage.weights[row] = 3
        assert (stage.loss(rows, random.Random(0)) != before).item() is changes


def test_the_query_is_the_head_after_the_relations_name(stage: FineClStage) -> None:
    row = 0
    example, tokenizer = stage.examples[row], stage.method.vocabulary.tokenizer
    span = example.instance.head
    head = tokenizer.encode(example.instance.sentence[span.start : span.end], add_special_tokens=False).ids
    name = tokenizer.encode(stage.data.relations[str(example.relation)].name, add_special_tokens=False).ids
    start, end, cls, sep = (tokenizer.token_to_id(x) or 0 for x in ("[Eh]", "[/Eh]", "[CLS]", "[SEP]"))
    ids = torch.tensor([[cls, *name, start, *head, end, sep]])
    hidden = stage.encoder(ids, torch.ones_like(ids))[0]
    expected = hidden[len(name) + 2 : len(name) + 2 + len(head)].mean(dim=0)
    torch.testing.assert_close(stage.queries([row, 1, 2])[0], expected, atol=1e-5, rtol=1e-4)


def test_tails_that_answer_a_query_too_are_found(recipe: Recipe, data: TrainingData) -> None:
    sentences = [("Ada", "Bo", "P26"), ("Cy", "BO", "P26"), ("ada", "Di", "P26"), ("Ada", "Di", "P40")]
    train = [replace(data.train[0], instance=mentions(f"{x} met {y} .", x, y), relation=z) for x, y, z in sentences]
    stage = FineClStage(FineCl(recipe), replace(data, train=train), torch.ones(4))
    assert stage.also_answers([0, 1, 2, 3]).int().tolist() == [
        [0, 1, 1, 0],
        [1, 0, 0, 0],
        [1, 0, 0, 1],
        [0, 0, 1, 0],
    ]


def test_two_instances_are_the_same_if_they_share_any_relation(stage: FineClStage) -> None:
    first = stage.examples[0]
    stage.examples[1] = replace(first, relation="P40", also=frozenset({str(first.relation)}))
    stage.examples[2] = replace(first, relation="P40", also=frozenset())
    assert stage.same([0, 1, 2]).int().tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_a_relation_without_a_name_is_asked_for_by_its_description(recipe: Recipe, data: TrainingData) -> None:
    relations = {key: replace(x, name=" ") for key, x in data.relations.items()}
    stage = FineClStage(FineCl(recipe), replace(data, relations=relations), torch.ones(len(data.train)))
    described = stage.method.inputs.descriptions([relations["P26"].description])[0]
    assert stage.names["P26"] == described.ids[:-1]


def test_the_pre_trainings_score_is_how_often_the_nearest_sentence_has_the_same_relation(stage: FineClStage) -> None:
    before = flat(stage.module)
    chance = stage.validate()["score"]
    assert 0 <= chance <= 100
    assert torch.equal(flat(stage.module), before)
    twice = [x for x in stage.valid_examples()[:9] for _ in range(2)]
    stage.data = replace(stage.data, valid=twice)
    assert stage.validate()["score"] == 100


def test_the_loss_falls_on_the_tiny_data(stage: FineClStage) -> None:
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=4e-3)
    rows, losses = max(stage.batches(0), key=len), []
    for _ in range(25):
        loss = stage.loss(rows, random.Random(0))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_token_table_is_trained_once(stage: FineClStage) -> None:
    addresses = [p.data_ptr() for p in stage.module.parameters()]
    assert len(addresses) == len(set(addresses))


def test_vectors_and_scores_are_those_of_emmas_recall(
    recipe: Recipe, data: TrainingData, tiny_relations: dict[str, Relation]
) -> None:
    method, relations, examples = FineCl(recipe), list(tiny_relations.values()), data.valid[:5]
    expected = score(method.checkpoint, examples, relations, 1, classify=False).cosines
    np.testing.assert_allclose(method.score([x.instance for x in examples], relations), expected, atol=1e-6)


def test_all_three_stages_are_told_of(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    history = train_alone(FineCl(recipe), data, tmp_path)
    assert list(dict.fromkeys(row["stage"] for row in history)) == ["learning-order", "finecl", "recall"]


@pytest.mark.parametrize("steps", [8, 16, 20], ids=["in the order", "in the pre-training", "in recall"])
def test_a_killed_and_resumed_run_gives_the_same_scores(
    recipe: Recipe, data: TrainingData, tmp_path: Path, steps: int
) -> None:
    assert_resumes(FineCl, recipe, data, tmp_path, steps)
