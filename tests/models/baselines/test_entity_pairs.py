from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models.baselines.encoding_strategies import EncodingStrategy
from models.baselines.entity_pairs import EntityPair, PairStage, entity_pairs, held_out
from models.job.dataset import Example, TrainingData
from models.job.recipe import Recipe
from tests.models.support import flat, losses_of, mentions

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]


def said(head: str, verb: str, tail: str, relation: str | None = "P26") -> Example:
    return Example(mentions(f"{head} {verb} {tail} .", head, tail), relation)


def test_a_pair_is_two_sentences_about_the_same_head_and_tail() -> None:
    examples = [said("Ada", "met", "Bo"), said("Ada", "met", "Cy"), said("Ada", "left", "Bo")]
    [pair] = entity_pairs(examples, "")
    assert pair.entities == ("ada", "bo")
    assert {pair.first, pair.second} == {0, 2}


def test_case_and_white_space_do_not_matter_for_an_entity() -> None:
    assert len(entity_pairs([said("Ada  Ek", "met", "Bo"), said("ADA EK", "left", "bo")], "")) == 1


def test_head_and_tail_changed_are_other_entities() -> None:
    assert entity_pairs([said("Ada", "met", "Bo"), said("Bo", "left", "Ada")], "") == []


def test_pairs_never_come_from_one_sentence() -> None:
    examples = [said("Ada", "met", "Bo"), said("Ada", "met", "Bo"), said("ADA", "met", "bo"), said("Ada", "saw", "Bo")]
    pairs = entity_pairs(examples, "")
    sentences = [{examples[row].instance.sentence.casefold() for row in (pair.first, pair.second)} for pair in pairs]
    assert sentences == [{"ada met bo .", "ada saw bo ."}]


def test_labels_are_not_looked_at() -> None:
    labels = ("P26", "P40", None)
    examples = [said("Ada", verb, "Bo", label) for verb, label in zip(("met", "left", "saw"), labels, strict=True)]
    assert len(entity_pairs(examples, "")) == 2


def test_n_sentences_give_a_chain_of_n_less_1_pairs() -> None:
    examples = [said("Ada", verb, "Bo") for verb in ("met", "left", "saw", "knew", "paid")]
    pairs = entity_pairs(examples, "")
    assert len(pairs) == 4
    assert {row for pair in pairs for row in (pair.first, pair.second)} == set(range(5))


def test_the_same_seed_gives_the_same_pairs() -> None:
    examples = [said("Ada", f"v{i}", "Bo") for i in range(9)]
    assert entity_pairs(examples, "a") == entity_pairs(examples, "a")
    assert entity_pairs(examples, "a") != entity_pairs(examples, "b")


def test_an_entitys_pairs_are_all_held_out_or_none() -> None:
    pairs = [EntityPair((str(i % 10), ""), i, i + 1) for i in range(40)]
    kept, away = held_out(pairs, 0.2, "")
    assert (len(kept), len(away)) == (32, 8)
    assert not {x.entities for x in kept} & {x.entities for x in away}


@pytest.fixture
def stage(tiny_recipe: Make, tiny_training: Data) -> PairStage:
    recipe = tiny_recipe(recall_batch=8)
    data = paired(tiny_training(recipe))
    method = EncodingStrategy(recipe, "mask")
    method.tower.eval()
    return PairStage(method, data, entity_pairs(data.train, ""))


def paired(data: TrainingData) -> TrainingData:
    """Each of 20 couples in three sentences, the first two couples alike but for the case."""
    names = ["Ada Bo", "ADA Bo", *(f"{first} {second}" for first in "cdefgh" for second in "xyz")]
    couples = [name.split() for name in names]
    return replace(data, train=[said(x, verb, y) for x, y in couples for verb in ("met", "wrote to", "was paid by")])


def test_all_pairs_but_the_held_out_are_read_once(stage: PairStage) -> None:
    rows = sorted(row for batch in stage.batches(0) for row in batch)
    assert rows == list(range(len(stage.pairs)))
    assert {x.entities for x in stage.pairs}.isdisjoint({x.entities for x in stage.held_out})


def test_pre_training_compares_the_encodings_of_the_instances(stage: PairStage) -> None:
    rows = [0, 10, 20]
    first, second = (
        torch.from_numpy(stage.method.encode_instances([stage.data.train[row].instance for row in column]))
        for column in zip(*((stage.pairs[row].first, stage.pairs[row].second) for row in rows), strict=True)
    )
    cosines = first @ second.T / stage.recipe.temperature
    expected = -(cosines.log_softmax(dim=1).diagonal() + cosines.log_softmax(dim=0).diagonal()).mean() / 2
    torch.testing.assert_close(stage.loss(rows, random.Random(0)), expected, atol=1e-4, rtol=1e-4)


def test_a_pair_about_the_same_entities_is_no_negative(stage: PairStage) -> None:
    same = [row for row, x in enumerate(stage.pairs) if x.entities == stage.pairs[0].entities][:2]
    assert len(same) == 2
    assert stage.loss(same, random.Random(0)) == 0


def test_pre_training_is_scored_by_how_often_the_partner_is_found(stage: PairStage) -> None:
    before = flat(stage.module)
    assert 0 <= stage.validate()["score"] <= 100
    assert torch.equal(flat(stage.module), before)
    stage.held_out = [replace(x, second=x.first) for x in stage.held_out]
    assert stage.validate()["score"] == 100


def test_the_loss_falls_on_the_tiny_data(stage: PairStage) -> None:
    losses = losses_of(stage, max(stage.batches(0), key=len), steps=40)
    assert losses[-1] < 0.5 * losses[0]
