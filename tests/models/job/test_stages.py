from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.candidates import CandidateList
from models.emma.classifier import PairClassifier
from models.emma.losses import candidate_loss, info_nce
from models.job import stages
from models.job.checkpoint import new_checkpoint
from models.job.dataset import DataError, Example, TrainingData
from models.job.questions import Question
from models.job.recipe import Recipe
from models.job.stages import ClassifierStage, EmmaStage, JointStage, RecallStage, question_loss
from models.relation import Relation
from models.text import Instance, description_text
from tests.models.support import flat

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]
Fresh = Callable[..., EmmaStage]
CLOSED = {"reading": "published", "withheld": 0, "reversed": 0, "unrelated": 0}


@pytest.fixture
def stage(tiny_recipe: Make, tiny_training: Data) -> Fresh:
    """A stage of a fresh model; without dropout, so that a loss is the same twice."""

    def make(kind: type[EmmaStage], data: TrainingData | None = None, **settings: object) -> EmmaStage:
        recipe = tiny_recipe(**settings)
        checkpoint = new_checkpoint(recipe)
        for module in (checkpoint.recall, checkpoint.classifier):
            if module is not None:
                module.eval()
        return kind(checkpoint, data or tiny_training(recipe))

    return make


@pytest.fixture
def recall(stage: Fresh) -> RecallStage:
    found = stage(RecallStage)
    assert isinstance(found, RecallStage)
    return found


@pytest.fixture
def classifier(stage: Fresh) -> ClassifierStage:
    found = stage(ClassifierStage)
    assert isinstance(found, ClassifierStage)
    return found


@pytest.fixture
def joint(stage: Fresh) -> JointStage:
    found = stage(JointStage)
    assert isinstance(found, JointStage)
    return found


def gradients(module: nn.Module) -> Tensor:
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in module.parameters()]
    )


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def test_recall_reads_every_related_pair_once_an_epoch(recall: RecallStage) -> None:
    rows = sorted(row for batch in recall.batches(0) for row in batch)
    assert rows == list(range(sum(x.relation is not None for x in recall.data.train)))


@pytest.mark.parametrize("kind", [RecallStage, ClassifierStage, JointStage])
def test_batches_are_the_same_for_the_same_epoch_and_others_for_the_next(stage: Fresh, kind: type[EmmaStage]) -> None:
    found = stage(kind)
    first = found.batches(0)
    assert found.batches(1) != first
    assert found.batches(0) == first


def test_recalls_loss_is_equation_12_over_the_batchs_distinct_relations(recall: RecallStage) -> None:
    rows = [row for i, name in enumerate(("P26", "P26", "P40")) for row in [of(recall.examples, name)[i]]]
    relations = [recall.data.relations[name] for name in ("P26", "P40")]
    checkpoint = recall.checkpoint
    instances = torch.from_numpy(checkpoint.encode_instances([recall.inputs[row] for row in rows]))
    descriptions = torch.from_numpy(checkpoint.encode_descriptions(checkpoint.describe(relations)))
    nothing = torch.zeros(3, 2, dtype=torch.bool)
    expected = info_nce(instances, descriptions, torch.tensor([0, 0, 1]), nothing, recall.recipe.temperature)
    found = replaced(recall, paraphrases=False).loss(rows, random.Random(0))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def of(examples: list[Example], relation: str) -> list[int]:
    return [row for row, example in enumerate(examples) if example.relation == relation]


def replaced(stage: RecallStage, **settings: object) -> RecallStage:
    recipe = stage.recipe.model_copy(update=settings)
    return RecallStage(replace(stage.checkpoint, recipe=recipe), stage.data)


def test_published_recall_contrasts_the_descriptions_of_all_instances(recall: RecallStage) -> None:
    first, second = of(recall.examples, "P26")[:2]
    found = replaced(recall, paraphrases=False, contrast="instances").loss([first, second], random.Random(0))
    # Both have the same description, between which nothing tells.
    torch.testing.assert_close(found, torch.tensor(2.0).log())


def test_only_pairs_whose_relation_fails_the_other_way_round_are_turned(recall: RecallStage) -> None:
    stage = replaced(recall, recall_turned=1.0)
    rows = [of(stage.examples, name)[0] for name in ("P26", "P40", "P22", "P57")]
    assert stage.turned(rows, random.Random(0)) == [1, 2, 3]


def test_the_recipe_says_how_many_pairs_are_turned(recall: RecallStage) -> None:
    stage = replaced(recall, recall_turned=0.25)
    rows = of(stage.examples, "P57") * 40
    assert 0.15 < len(stage.turned(rows, random.Random(0))) / len(rows) < 0.35


def test_a_turned_pair_costs_by_how_near_it_is_to_its_description(recall: RecallStage) -> None:
    [row] = of(recall.examples, "P57")[:1]
    plain, stage = (replaced(recall, paraphrases=False, recall_turned=share) for share in (0.0, 1.0))
    example = stage.examples[row]
    both = stage.checkpoint.prepare([example.instance, example.instance.turned()])
    vectors = stage.checkpoint.encode_instances(both)
    [description] = stage.checkpoint.encode_descriptions(stage.checkpoint.describe([stage.data.relations["P57"]]))
    margin = torch.tensor((vectors[0] - vectors[1]) @ description / stage.recipe.temperature)
    expected = plain.loss([row], random.Random(0)) + torch.nn.functional.softplus(-margin)
    torch.testing.assert_close(stage.loss([row], random.Random(0)), expected, atol=1e-4, rtol=1e-4)


def test_another_true_relation_does_not_count_against_a_pair(recall: RecallStage) -> None:
    first, second = of(recall.examples, "P26")[0], of(recall.examples, "P40")[0]
    recall.examples[first] = replace(recall.examples[first], also=frozenset({"P40", "P57"}))
    _, cosines, ids = recall.similarities([first, second], random.Random(0))
    assert ids == ["P26", "P40"]
    alone = -(cosines[1] / recall.recipe.temperature).log_softmax(dim=0)[1] / 2
    torch.testing.assert_close(recall.loss([first, second], random.Random(0)), alone, atol=1e-4, rtol=1e-4)


def test_wordings_are_drawn_at_random(recall: RecallStage) -> None:
    draw = random.Random(0)
    relation = recall.data.relations["P26"]
    texts = [description_text(relation.name, x) for x in relation.wordings()]
    expected = [x.ids for x in recall.checkpoint.inputs.descriptions(texts)]
    found = [recall.described(["P26"], draw)[0].ids for _ in range(60)]
    assert all(ids in expected for ids in found)
    assert all(ids in found for ids in expected)


def test_without_paraphrases_the_principal_wording_is_always_read(recall: RecallStage) -> None:
    stage = replaced(recall, paraphrases=False)
    principal = stage.checkpoint.describe([stage.data.relations["P26"]])
    assert all(stage.described(["P26"], random.Random(seed)) == principal for seed in range(20))


def test_validation_reads_related_pairs_only_and_no_more_than_the_recipe_allows(
    stage: Fresh,
) -> None:
    found = stage(RecallStage, valid_instances=20)
    examples = found.valid_examples()
    assert len(examples) == 20
    assert all(x.relation is not None for x in examples)


@pytest.mark.parametrize("kind", [RecallStage, ClassifierStage, JointStage])
def test_validation_gives_percentages_and_changes_no_weight(stage: Fresh, kind: type[EmmaStage]) -> None:
    found = stage(kind)
    before = flat(found.module)
    metrics = found.validate()
    assert all(0 <= value <= 100 for value in metrics.values())
    assert metrics["score"] == metrics["fused_f1" if kind is not RecallStage else "recall_f1"]
    assert torch.equal(flat(found.module), before)


def test_there_is_nothing_to_train_without_a_classifier(tiny_recipe: Make, tiny_training: Data) -> None:
    recipe = tiny_recipe(training="recall")
    with pytest.raises(ValueError, match="no classifier to train"):
        ClassifierStage(new_checkpoint(recipe), tiny_training(recipe))


@pytest.mark.parametrize(
    ("kind", "start", "same"),
    [(ClassifierStage, "recall", True), (ClassifierStage, "encoder", False), (JointStage, "recall", False)],
)
@pytest.mark.parametrize("reading", ["once", "pairs"])
def test_the_classifier_starts_from_the_recall_tower_that_was_trained_before_it(
    tiny_recipe: Make, tiny_training: Data, kind: type[ClassifierStage], start: str, same: bool, reading: str
) -> None:
    recipe = tiny_recipe(classifier_start=start, reading=reading)
    checkpoint = new_checkpoint(recipe)
    for parameter in checkpoint.recall.parameters():
        parameter.data += 0.01
    stage = kind(checkpoint, tiny_training(recipe))
    if isinstance(stage.classifier, PairClassifier):
        assert torch.equal(flat(stage.classifier.encoder), flat(checkpoint.recall.encoder)) is same
    else:
        assert torch.equal(flat(stage.classifier.layers), flat(upper(stage))) is same


def test_the_classifiers_training_does_not_touch_recall(classifier: ClassifierStage) -> None:
    backward(classifier.loss(classifier.batches(0)[0], random.Random(0)))
    assert gradients(classifier.module).abs().sum() > 0
    assert all(p.grad is None for p in classifier.checkpoint.recall.parameters())


def test_the_classifier_is_asked_about_training_relations_only(
    tiny_recipe: Make, tiny_examples: list[Example], tiny_relations: dict[str, Relation]
) -> None:
    recipe = tiny_recipe(reversed=0.5)
    known = sorted(tiny_relations)[:6]
    train = [x for x in tiny_examples if x.relation in known or x.relation is None]
    stage = ClassifierStage(new_checkpoint(recipe), TrainingData(train, tiny_examples, tiny_relations, known, known))
    stage.batches(0)
    assert {name for question in stage.questions for name in question.candidates} == set(known)


def test_what_the_classifier_has_too_few_instances_of_is_neither_asked_about_nor_a_candidate(
    stage: Fresh, tiny_training: Data, tiny_recipe: Make
) -> None:
    data = tiny_training(tiny_recipe())
    rare, *_ = data.train_relations
    kept = [x for x in data.train if x.relation != rare]
    data = replace(data, train=[*kept, next(x for x in data.train if x.relation == rare)])
    found = stage(ClassifierStage, data, classifier_fewest=2)
    assert isinstance(found, ClassifierStage)
    found.batches(0)
    assert {name for x in found.questions for name in x.candidates} <= {*data.train_relations} - {rare}
    assert rare not in {x.relation for x in found.examples}
    assert None in {x.relation for x in found.examples}


def test_a_classifier_that_would_be_asked_about_nothing_is_refused(stage: Fresh) -> None:
    with pytest.raises(DataError, match=r"0 relations have 1000 instances, .*: lower classifier_fewest"):
        stage(ClassifierStage, classifier_fewest=1000)


def test_each_epoch_asks_as_many_questions_as_the_recipe_says(classifier: ClassifierStage) -> None:
    batches = classifier.batches(0)
    assert sum(map(len, batches)) == len(classifier.questions) == classifier.recipe.classifier_instances


def test_the_loss_is_of_the_classifier_by_itself(classifier: ClassifierStage) -> None:
    rows = classifier.batches(0)[0]
    before = classifier.loss(rows, random.Random(0))
    # Of recall's own layers, which no classifier reads.
    for parameter in (classifier.checkpoint.recall.head_pool.weight, *upper(classifier).parameters()):
        parameter.data += torch.randn_like(parameter)
    assert torch.equal(classifier.loss(rows, random.Random(0)), before)


def upper(stage: EmmaStage) -> nn.Module:
    """The layers of recall that the classifier has its own of."""
    return stage.checkpoint.recall.encoder.layers[-stage.recipe.classifier_layers :]


def answer(stage: ClassifierStage, asked: Instance, ids: tuple[str, ...]) -> Tensor:
    """What the checkpoint gives for a question (1, candidates)."""
    [prepared] = stage.checkpoint.prepare([asked])
    described = stage.checkpoint.describe([stage.data.relations[name] for name in ids])
    return torch.from_numpy(stage.checkpoint.classify([CandidateList(prepared, tuple(described))]))


def test_the_published_head_is_trained_on_a_closed_set(stage: Fresh) -> None:
    found = stage(ClassifierStage, **CLOSED, candidates=3, paraphrases=False)
    assert isinstance(found, ClassifierStage)
    asked, ids = found.data.train[0].instance, ("P26", "P40", "P19")
    expected = -answer(found, asked, ids).log_softmax(dim=1)[0, 1]
    torch.testing.assert_close(question_loss(found, [Question(asked, ids, 1)], random.Random(0)), expected)


def question(stage: ClassifierStage, row: int, candidates: tuple[str, ...], gold: int | None) -> Question:
    return Question(stage.data.train[row].instance, candidates, gold)


@pytest.mark.parametrize("reading", ["once", "pairs"])
def test_a_batch_of_questions_costs_the_mean_of_the_questions(stage: Fresh, reading: str) -> None:
    found = stage(ClassifierStage, reading=reading, paraphrases=False)
    assert isinstance(found, ClassifierStage)
    questions = [
        question(found, 0, ("P26", "P40"), 1),
        question(found, 1, ("P57", "P26", "P40", "P19"), None),
        question(found, 2, ("P19",), 0),
    ]
    alone = torch.stack([question_loss(found, [x], random.Random(0)) for x in questions])
    torch.testing.assert_close(question_loss(found, questions, random.Random(0)), alone.mean(), atol=1e-5, rtol=1e-5)


def test_to_read_few_pairs_at_once_changes_no_loss(stage: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stage(ClassifierStage, reading="pairs")
    rows = found.batches(0)[0]
    found.module.eval()
    together = found.loss(rows, random.Random(0))
    monkeypatch.setattr(stages, "PAIRS_AT_ONCE", 3)
    torch.testing.assert_close(found.loss(rows, random.Random(0)), together)


@pytest.mark.parametrize("reading", ["once", "pairs"])
def test_a_questions_loss_is_equation_15_with_none(stage: Fresh, reading: str) -> None:
    found = stage(ClassifierStage, reading=reading, paraphrases=False)
    assert isinstance(found, ClassifierStage)
    asked, ids = found.data.train[0].instance, ("P26", "P40", "P19")
    logits = answer(found, asked, ids)
    for gold, target in ((1, 1), (None, 3)):
        loss = question_loss(found, [Question(asked, ids, gold)], random.Random(0))
        torch.testing.assert_close(loss, candidate_loss(logits, torch.tensor([target])), atol=1e-5, rtol=1e-4)


def test_joint_training_is_both_losses_one_to_one(joint: JointStage) -> None:
    rows = joint.batches(0)[0]
    recall = joint.recall.loss(rows, random.Random(0))
    both = joint.loss(rows, random.Random(0))
    backward(both)
    from_both = gradients(joint.checkpoint.recall)
    assert gradients(joint.classifier).abs().sum() > 0
    assert both > recall
    joint.module.zero_grad()
    backward(recall)
    torch.testing.assert_close(gradients(joint.checkpoint.recall), from_both)


def test_joint_training_changes_both_models(joint: JointStage) -> None:
    names = {name.split(".")[0] for name, _ in joint.module.named_parameters()}
    parameters = {p.data_ptr() for p in joint.module.parameters()}
    assert names == {"0", "1"}
    for model in (joint.checkpoint.recall, joint.classifier):
        assert {p.data_ptr() for p in model.parameters()} <= parameters


def test_the_classifier_learns_the_answers_to_a_few_questions(classifier: ClassifierStage) -> None:
    stage, draw = classifier, random.Random(0)
    rows = stage.batches(0)[0]
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=4e-3)
    before = stage.loss(rows, draw).item()
    for _ in range(60):
        backward(stage.loss(rows, draw))
        optimizer.step()
        optimizer.zero_grad()
    assert stage.loss(rows, draw).item() < 0.5 * before
