from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from models.baselines.encoding_strategies import DescriptionStage, EncodingStrategy, Hybrid, Strategy
from models.baselines.entity_pairs import PairStage
from models.emma.encoder import EncoderError
from models.emma.losses import info_nce
from models.job.dataset import TrainingData
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import Instance
from tests.models.baselines.resumption import assert_resumes, train_alone
from tests.models.baselines.test_entity_pairs import paired
from tests.models.support import flat, losses_of, mentions, quiet

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
SENTENCES = [
    mentions("Ilse Manteuf was born in Brill Haven .", "Ilse Manteuf", "Brill Haven"),
    mentions("Ada met Bo .", "Ada", "Bo"),
    mentions(f"Ada {'often ' * 40}met Bo .", "Bo", "Ada"),
]


@pytest.fixture(scope="module")
def brief(tiny_recipe: Make) -> Recipe:
    return tiny_recipe(recall_epochs=1, paraphrases=False)


@pytest.fixture(scope="module")
def data(brief: Recipe, tiny_training: Data) -> TrainingData:
    return tiny_training(brief)


def stage_of(recipe: Recipe, strategy: Strategy, data: TrainingData) -> DescriptionStage:
    """A stage of a fresh model; without dropout, so that a loss is the same twice."""
    method = EncodingStrategy(recipe, strategy)
    method.tower.eval()
    return DescriptionStage(method, data)


@pytest.mark.parametrize(("strategy", "states"), [("ht", 2), ("mask", 1), ("ht-mask", 3)])
def test_both_sides_have_as_many_states_as_the_strategy_reads(
    brief: Recipe, tiny_relations: dict[str, Relation], strategy: Strategy, states: int
) -> None:
    method = EncodingStrategy(brief, strategy)
    relations = list(tiny_relations.values())
    for vectors, rows in (
        (method.encode_instances(SENTENCES), len(SENTENCES)),
        (method.encode_descriptions(relations), len(relations)),
    ):
        assert vectors.shape == (rows, states * 32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def states(method: EncodingStrategy, instance: Instance) -> tuple[torch.Tensor, list[str]]:
    """The encoder's states of one sentence as the method reads it, and its tokens."""
    [read] = method.prepared(method.inputs.instances([instance]), [instance])
    with torch.inference_mode():
        hidden = method.tower.eval().encoder(torch.tensor([read.ids]), torch.ones(1, len(read.ids)))
    return hidden[0], [str(method.vocabulary.tokenizer.id_to_token(token)) for token in read.ids]


@pytest.mark.parametrize(
    ("strategy", "tokens"), [("ht", ["[Eh]", "[Et]"]), ("mask", ["[MASK]"]), ("ht-mask", ["[Eh]", "[Et]", "[MASK]"])]
)
@pytest.mark.parametrize("row", range(len(SENTENCES)))
def test_an_instance_is_the_states_of_the_tokens_that_the_strategy_names(
    brief: Recipe, strategy: Strategy, tokens: list[str], row: int
) -> None:
    method = EncodingStrategy(brief, strategy)
    hidden, words = states(method, SENTENCES[row])
    expected = torch.cat([hidden[words.index(token)] for token in tokens])
    found = method.encode_instances(SENTENCES)[row]
    np.testing.assert_allclose(found, (expected / expected.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_vector_does_not_depend_on_the_batchs_padding(
    brief: Recipe, tiny_relations: dict[str, Relation], strategy: Strategy
) -> None:
    method, relations = EncodingStrategy(brief, strategy), list(tiny_relations.values())
    instances = np.concatenate([method.encode_instances([x]) for x in SENTENCES])
    descriptions = np.concatenate([method.encode_descriptions([x]) for x in relations])
    np.testing.assert_allclose(method.encode_instances(SENTENCES), instances, atol=1e-5)
    np.testing.assert_allclose(method.encode_descriptions(relations), descriptions, atol=1e-5)


def test_only_a_strategy_with_a_mask_reads_a_prompt(brief: Recipe) -> None:
    read = {x: "[MASK]" in states(EncodingStrategy(brief, x), SENTENCES[0])[1] for x in STRATEGIES}
    assert read == {"ht": False, "mask": True, "ht-mask": True}


def test_an_encoder_that_reads_fewer_tokens_than_a_sentence_may_have_is_refused(tiny_recipe: Make) -> None:
    with pytest.raises(EncoderError, match="at most 256 tokens, not 300"):
        EncodingStrategy(tiny_recipe(sentence_tokens=300), "ht")


def test_the_longest_sentences_are_read_with_their_prompts(tiny_recipe: Make) -> None:
    method = EncodingStrategy(tiny_recipe(sentence_tokens=256), "mask")
    sentence = mentions(f"Ada {'often ' * 400}met Bo .", "Ada", "Bo")
    hidden, words = states(method, sentence)
    assert len(hidden) == 256
    assert words[-3:] == ["[MASK]", ".", "[SEP]"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_is_info_nce_over_the_batchs_distinct_relations(
    brief: Recipe, data: TrainingData, strategy: Strategy
) -> None:
    stage = stage_of(brief, strategy, data)
    rows = [of(stage, "P26")[0], of(stage, "P26")[1], of(stage, "P40")[0]]
    instances = stage.method.encode_instances([stage.examples[row].instance for row in rows])
    descriptions = stage.method.encode_descriptions([data.relations[name] for name in ("P26", "P40")])
    expected = info_nce(
        torch.from_numpy(instances),
        torch.from_numpy(descriptions),
        torch.tensor([0, 0, 1]),
        torch.zeros(3, 2, dtype=torch.bool),
        brief.temperature,
    )
    torch.testing.assert_close(stage.loss(rows, random.Random(0)), expected, atol=1e-4, rtol=1e-4)


def of(stage: DescriptionStage, relation: str) -> list[int]:
    return [row for row, example in enumerate(stage.examples) if example.relation == relation]


def test_another_true_relation_does_not_count_against_an_instance(brief: Recipe, data: TrainingData) -> None:
    stage = stage_of(brief, "ht", data)
    first, second = of(stage, "P26")[0], of(stage, "P40")[0]
    before = stage.loss([first, second], random.Random(0))
    for row, other in ((first, "P40"), (second, "P26")):
        stage.examples[row] = replace(stage.examples[row], also=frozenset({other}))
    assert before > 0
    assert stage.loss([first, second], random.Random(0)) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_falls_on_the_tiny_data(tiny_recipe: Make, data: TrainingData, strategy: Strategy) -> None:
    stage = stage_of(tiny_recipe(), strategy, data)
    losses = losses_of(stage, stage.batches(0)[0], steps=15)
    assert losses[-1] < 0.5 * losses[0]


def test_training_is_chosen_by_the_methods_own_macro_f1(brief: Recipe, data: TrainingData) -> None:
    stage = stage_of(brief, "mask", data)
    before = flat(stage.module)
    assert 0 <= stage.validate()["score"] <= 100
    assert torch.equal(flat(stage.module), before)


@pytest.mark.parametrize("pretrain", [False, True])
def test_a_killed_and_resumed_run_gives_the_same_scores(
    tiny_recipe: Make, data: TrainingData, tmp_path: Path, pretrain: bool
) -> None:
    recipe = tiny_recipe(recall_epochs=1, recall_batch=8 if pretrain else 16)
    used = paired(data) if pretrain else data
    assert_resumes(lambda x: EncodingStrategy(x, "ht-mask", pretrain), recipe, used, tmp_path, 8 if pretrain else 5)


def test_without_pre_training_there_is_one_stage(brief: Recipe, data: TrainingData) -> None:
    [stage] = EncodingStrategy(brief, "ht").stages(paired(data))
    assert isinstance(stage, DescriptionStage)


def test_pre_training_comes_first_and_changes_the_same_tower(tiny_recipe: Make, data: TrainingData) -> None:
    method = EncodingStrategy(tiny_recipe(recall_batch=8), "mask", pretrain=True)
    first, second = method.stages(paired(data))
    assert isinstance(first, PairStage)
    assert isinstance(second, DescriptionStage)
    assert first.module is second.module is method.tower


def test_pre_training_is_left_out_and_said_to_be_where_there_are_too_few_pairs(
    brief: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    method = EncodingStrategy(brief, "ht", pretrain=True)
    with quiet() as progress:
        first, *others = method.train(data, tmp_path, progress)
        said = progress.console.file.getvalue()  # type: ignore[attr-defined]
    assert first["left_out"] == "0 pairs of sentences about the same entities, 32 are needed"
    assert f"no pre-training of ht: {first['left_out']}" in said
    assert {row["stage"] for row in others} == {"descriptions-ht"}


@pytest.fixture(scope="module")
def hybrid(brief: Recipe, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Hybrid:
    found = Hybrid(brief)
    train_alone(found, data, tmp_path_factory.mktemp("hybrid"))
    return found


def test_the_hybrids_score_is_the_mean_of_its_parts_scores(hybrid: Hybrid, tiny_relations: dict[str, Relation]) -> None:
    relations = list(tiny_relations.values())
    parts = [part.score(SENTENCES, relations) for part in hybrid.parts]
    assert np.abs(parts[0] - parts[1]).max() > 0.01
    np.testing.assert_allclose(hybrid.score(SENTENCES, relations), (parts[0] + parts[1]) / 2, atol=1e-5)


def test_the_hybrids_parts_are_trained_as_if_each_were_alone(
    hybrid: Hybrid, brief: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    alone = EncodingStrategy(brief, "mask")
    train_alone(alone, data, tmp_path)
    assert torch.equal(flat(hybrid.parts[1].tower), flat(alone.tower))


def test_the_hybrids_encoders_share_no_weight(hybrid: Hybrid) -> None:
    first, second = ({p.data_ptr() for p in part.tower.parameters()} for part in hybrid.parts)
    assert first.isdisjoint(second)


def test_the_hybrids_stages_are_those_of_its_parts(brief: Recipe, data: TrainingData) -> None:
    assert [stage.name for stage in Hybrid(brief).stages(data)] == ["descriptions-ht", "descriptions-mask"]


def test_a_killed_and_resumed_hybrid_gives_the_same_scores(brief: Recipe, data: TrainingData, tmp_path: Path) -> None:
    assert_resumes(Hybrid, brief, data, tmp_path, 12)
