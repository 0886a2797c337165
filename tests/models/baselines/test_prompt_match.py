from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from models.baselines.prompt_match import PromptMatch, PromptStage, hypothesis
from models.emma.encoder import EncoderError
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.relation import Relation
from tests.models.baselines.resumption import assert_resumes, few, some
from tests.models.support import mentions

Make = Callable[..., Recipe]
BORN = mentions("Ilse Manteuf was born in Brill Haven .", "Ilse Manteuf", "Brill Haven")
SPOUSE = Relation("P26", "spouse", "They are married.")


@pytest.fixture(scope="module")
def data(tiny_recipe: Make, tiny_training: Callable[..., TrainingData]) -> TrainingData:
    return tiny_training(tiny_recipe())


@pytest.fixture
def method(tiny_recipe: Make) -> PromptMatch:
    found = PromptMatch(tiny_recipe(paraphrases=False))
    found.classifier.eval()
    return found


@pytest.fixture
def stage(method: PromptMatch, data: TrainingData) -> PromptStage:
    found = PromptStage(method, data)
    found.batches(0)
    return found


def tokens(method: PromptMatch, ids: list[int]) -> str:
    return " ".join(str(method.inputs.tokenizer.id_to_token(i)) for i in ids)


def test_a_relation_is_put_into_words_with_the_two_mentions(method: PromptMatch) -> None:
    assert hypothesis(BORN) == "Ilse Manteuf is the head and Brill Haven is the tail of the relation"
    [(sentence, said)] = method.pairs([(BORN, "spouse: They are married.")])
    [expected] = method.inputs.descriptions([f"{hypothesis(BORN)} spouse: They are married."])
    assert said.ids == expected.ids
    assert tokens(method, sentence.ids).startswith("[CLS] [Eh] ilse manteuf [/Eh] was born")


def test_the_mentions_change_places_with_head_and_tail() -> None:
    turned = replace(BORN, head=BORN.tail, tail=BORN.head)
    assert hypothesis(turned) == "Brill Haven is the head and Ilse Manteuf is the tail of the relation"


def test_a_long_mention_takes_no_room_from_the_description(tiny_recipe: Make) -> None:
    method = PromptMatch(tiny_recipe(description_tokens=16))
    long = mentions(f"{'Ilse ' * 30}was in Brill .", ("Ilse " * 30).strip(), "Brill")
    [(_, said)] = method.pairs([(long, "a film or book that was written by the tail")])
    assert tokens(method, said.ids).endswith("a film or book that was written by the tail [SEP]")
    assert said.truncated


def test_a_table_of_positions_that_is_too_short_is_refused(tiny_recipe: Make) -> None:
    with pytest.raises(EncoderError, match=r"257, but .* reads at most 256 tokens"):
        PromptMatch(tiny_recipe(sentence_tokens=128, description_tokens=66))


def test_a_score_is_the_classifiers_logit_of_the_pair(method: PromptMatch, data: TrainingData) -> None:
    instances, relations = some(data)
    found = method.score(instances[:3], relations[:4])
    assert found.shape == (3, 4)
    with torch.inference_mode():
        for row, column in ((0, 0), (2, 1), (1, 3)):
            relation = relations[column]
            pair = method.pairs([(instances[row], f"{relation.name}: {relation.description}")])
            batch = {name: torch.from_numpy(array) for name, array in method.inputs.pair_arrays(pair).items()}
            assert found[row, column] == pytest.approx(method.classifier(**batch).item(), abs=1e-5)


def test_a_pairs_score_does_not_depend_on_the_others_in_its_batch(method: PromptMatch, data: TrainingData) -> None:
    instances, relations = some(data)
    pairs = [(x, y) for x in instances for y in relations[:3]]
    together = method.score_pairs(pairs)
    for row in (0, 4, 11):
        np.testing.assert_allclose(method.score_pairs([pairs[row]])[0], together[row], atol=1e-5)


def test_the_candidates_are_the_relation_and_seen_ones_that_are_not_true(stage: PromptStage) -> None:
    example = replace(stage.examples[0], also=frozenset({"P40", "P57"}))
    drawn = [stage.candidates(example, random.Random(seed)) for seed in range(60)]
    assert all(names[0] == example.relation for names in drawn)
    assert all(len(set(names)) == stage.recipe.candidates for names in drawn)
    assert {name for names in drawn for name in names} == set(stage.data.train_relations) - example.also


def test_an_epoch_asks_as_many_instances_as_the_recipe_says_all_of_them_related(stage: PromptStage) -> None:
    rows = [row for batch in stage.batches(1) for row in batch]
    assert sorted(rows) == list(range(stage.recipe.classifier_instances))
    assert all(example.relation is not None for example in stage.examples)


def test_batches_are_the_same_for_the_same_epoch_and_others_for_the_next(stage: PromptStage) -> None:
    first, asked = stage.batches(0), stage.examples
    stage.batches(1)
    assert stage.examples != asked
    assert (stage.batches(0), stage.examples) == (first, asked)


def test_the_loss_is_the_cross_entropy_over_the_candidates_logits(
    stage: PromptStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, names = [0, 5, 9], stage.data.train_relations
    # Not all of the same number.
    asked = {
        row: [x.relation, *[name for name in names if name != x.relation][: 1 + row % 3]]
        for row, x in ((row, stage.examples[row]) for row in rows)
    }
    by_instance = {stage.examples[row].instance: candidates for row, candidates in asked.items()}
    monkeypatch.setattr(stage, "candidates", lambda example, draw: by_instance[example.instance])
    costs = []
    for row in rows:
        relations = [stage.data.relations[str(name)] for name in asked[row]]
        logits = torch.from_numpy(stage.method.score([stage.examples[row].instance], relations))
        costs.append(cross_entropy(logits, torch.tensor([0])).item())
    assert stage.loss(rows, random.Random(0)).item() == pytest.approx(sum(costs) / 3, abs=1e-5)


def test_it_learns_the_relations_of_a_few_sentences(method: PromptMatch, data: TrainingData) -> None:
    # Without dropout, which on so few would take many more steps.
    stage, draw = PromptStage(method, few(data)), random.Random(0)
    rows = [row for batch in stage.batches(0) for row in batch]
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=4e-3)
    before = stage.loss(rows, draw).item()
    for _ in range(60):
        stage.loss(rows, draw).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert stage.loss(rows, draw).item() < 0.5 * before
    assert stage.validate()["score"] > 80


def test_a_killed_run_goes_on_to_the_same_scores(tiny_recipe: Make, data: TrainingData, tmp_path: Path) -> None:
    recipe = tiny_recipe(classifier_instances=48, valid_instances=10)
    assert_resumes(PromptMatch, recipe, data, tmp_path, steps=4)
