from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.job.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from models.job.dataset import DataError, Example, TrainingData
from models.job.recipe import Recipe
from models.job.scoring import score
from models.job.self_training import adapt, labelled, self_train
from models.relation import Relation
from models.text import Instance
from tests.models.support import Deadly, Killed, differing, quiet, saved_weights

Make = Callable[..., Recipe]
Data = Callable[..., TrainingData]


@pytest.fixture(scope="module")
def data(tiny_checkpoint: Checkpoint, tiny_training: Data) -> TrainingData:
    return tiny_training(tiny_checkpoint.recipe)


@pytest.fixture(scope="module")
def texts(tiny_examples: list[Example]) -> list[Instance]:
    return list(dict.fromkeys(x.instance for x in tiny_examples))[:90]


@pytest.fixture(scope="module")
def catalogue(tiny_relations: dict[str, Relation]) -> list[Relation]:
    return list(tiny_relations.values())


@pytest.fixture(scope="module")
def adapted(
    tiny_checkpoint: Checkpoint,
    data: TrainingData,
    texts: list[Instance],
    catalogue: list[Relation],
    tmp_path_factory: pytest.TempPathFactory,
) -> Checkpoint:
    return trained(tiny_checkpoint, data, texts, catalogue, tmp_path_factory.mktemp("self") / "states")


def trained(
    checkpoint: Checkpoint, data: TrainingData, texts: Sequence[Instance], catalogue: Sequence[Relation], folder: Path
) -> Checkpoint:
    torch.set_num_threads(1)
    with quiet() as progress:
        return self_train(checkpoint, data, texts, catalogue, folder, progress, surest=10)[0]


def test_text_is_labelled_with_what_the_checkpoint_answers(
    tiny_checkpoint: Checkpoint, texts: list[Instance], catalogue: list[Relation]
) -> None:
    found = score(tiny_checkpoint, [Example(x, None) for x in texts], catalogue, tiny_checkpoint.recipe.choose_among)
    answers = dict(zip(texts, found.fused(tiny_checkpoint.calibration), strict=True))
    assert {x.instance: x.relation for x in labelled(tiny_checkpoint, texts, catalogue)} == answers


def test_of_each_relation_the_surest_answers_are_taken(
    tiny_checkpoint: Checkpoint, texts: list[Instance], catalogue: list[Relation]
) -> None:
    everything, surest = labelled(tiny_checkpoint, texts, catalogue), labelled(tiny_checkpoint, texts, catalogue, 3)
    counts = Counter(x.relation for x in everything)
    assert max(counts.values()) > 3
    assert Counter(x.relation for x in surest) == {name: min(3, count) for name, count in counts.items()}
    for name in counts:
        mine = [x for x in everything if x.relation == name]
        assert [x for x in surest if x.relation == name] == mine[:3]


def test_how_sure_an_answer_must_be_to_count_changes_nothing(
    tiny_checkpoint: Checkpoint, texts: list[Instance], catalogue: list[Relation]
) -> None:
    strict = tiny_checkpoint.calibrated(replace(tiny_checkpoint.calibration, threshold=1.01))
    assert labelled(strict, texts, catalogue) == labelled(tiny_checkpoint, texts, catalogue)


def test_nothing_to_learn_from_is_an_error_that_says_what_to_do(
    tiny_checkpoint: Checkpoint, data: TrainingData, catalogue: list[Relation], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no instance to learn from: give a file"):
        trained(tiny_checkpoint, data, [], catalogue, tmp_path / "states")


def test_a_checkpoint_of_recall_alone_is_refused(
    tiny_checkpoint: Checkpoint, data: TrainingData, texts: list[Instance], catalogue: list[Relation], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="train with --reading once or pairs"):
        trained(replace(tiny_checkpoint, classifier=None), data, texts, catalogue, tmp_path / "states")


def test_recall_comes_nearer_to_its_answers(
    tiny_checkpoint: Checkpoint, adapted: Checkpoint, texts: list[Instance], catalogue: list[Relation]
) -> None:
    answers = labelled(tiny_checkpoint, texts, catalogue, 10)
    column = {relation.id: i for i, relation in enumerate(catalogue)}
    gold = np.array([column[str(x.relation)] for x in answers])

    def likelihood(checkpoint: Checkpoint) -> float:
        cosines = score(checkpoint, answers, catalogue, 1, classify=False).cosines / checkpoint.recipe.temperature
        shares = np.exp(cosines - cosines.max(axis=1, keepdims=True))
        return float(np.log(shares[np.arange(len(gold)), gold] / shares.sum(axis=1)).mean())

    assert likelihood(adapted) > likelihood(tiny_checkpoint)


def test_the_layers_that_the_classifier_reads_with_stay_as_they_are(
    tiny_checkpoint: Checkpoint, adapted: Checkpoint
) -> None:
    upper = len(tiny_checkpoint.recall.encoder.layers) - tiny_checkpoint.recipe.classifier_layers
    changed = differing(adapted.recall.encoder.state_dict(), tiny_checkpoint.recall.encoder.state_dict())
    assert changed
    assert {int(name.split("layer.")[1].split(".")[0]) for name in changed} == set(
        range(upper, len(tiny_checkpoint.recall.encoder.layers))
    )


def test_the_checkpoint_that_it_started_from_stays_as_it_was(
    tiny_checkpoint: Checkpoint, data: TrainingData, texts: list[Instance], catalogue: list[Relation], tmp_path: Path
) -> None:
    before = {name: weight.clone() for name, weight in tiny_checkpoint.recall.state_dict().items()}
    trained(tiny_checkpoint, data, texts, catalogue, tmp_path / "states")
    assert differing(tiny_checkpoint.recall.state_dict(), before) == []
    assert all(weight.requires_grad for weight in tiny_checkpoint.recall.parameters())


def test_what_comes_out_can_be_trained_on_as_a_whole(adapted: Checkpoint) -> None:
    assert adapted.classifier is not None
    for module in (adapted.recall, adapted.classifier):
        assert all(weight.requires_grad for weight in module.parameters())


def test_what_comes_out_tells_what_it_learnt_from_and_keeps_its_recipe(
    tiny_checkpoint: Checkpoint, adapted: Checkpoint, texts: list[Instance], catalogue: list[Relation]
) -> None:
    answered = len(labelled(tiny_checkpoint, texts, catalogue, 10))
    assert adapted.training["self_training"] == {"unlabelled": 90, "answered": answered, "relations": 14}
    assert adapted.recipe == tiny_checkpoint.recipe
    json.dumps(adapted.training)


def test_a_killed_run_goes_on_to_the_same_weights(
    tiny_checkpoint: Checkpoint,
    adapted: Checkpoint,
    data: TrainingData,
    texts: list[Instance],
    catalogue: list[Relation],
    tmp_path: Path,
) -> None:
    often = replace(tiny_checkpoint, recipe=tiny_checkpoint.recipe.model_copy(update={"save_every": 2}))
    with pytest.raises(Killed), Deadly(8) as progress:
        self_train(often, data, texts, catalogue, tmp_path / "states", progress, surest=10)
    again = trained(often, data, texts, catalogue, tmp_path / "states")
    assert differing(again.recall.state_dict(), adapted.recall.state_dict()) == []
    assert not (tmp_path / "states").exists()


def test_a_directory_keeps_what_came_out_and_is_not_written_again(
    tiny_checkpoint: Checkpoint,
    adapted: Checkpoint,
    data: TrainingData,
    texts: list[Instance],
    tiny_relations: dict[str, Relation],
    tmp_path: Path,
) -> None:
    with quiet() as progress:
        adapt(tiny_checkpoint, data, texts, tiny_relations, tmp_path, progress, surest=10)
        before = saved_weights(tmp_path)
        found = adapt(tiny_checkpoint, data, texts, tiny_relations, tmp_path, progress, surest=10)
    assert differing(found.recall.state_dict(), adapted.recall.state_dict()) == []
    assert differing(saved_weights(tmp_path), before) == []
    assert load_checkpoint(tmp_path, "cpu").training == adapted.training


def test_a_directory_of_another_adaptation_is_refused(
    tiny_checkpoint: Checkpoint,
    data: TrainingData,
    texts: list[Instance],
    tiny_relations: dict[str, Relation],
    tmp_path: Path,
) -> None:
    with quiet() as progress:
        adapt(tiny_checkpoint, data, texts, tiny_relations, tmp_path, progress, surest=10)
        with pytest.raises(CheckpointError, match="holds a run with another unlabelled"):
            adapt(tiny_checkpoint, data, texts[1:], tiny_relations, tmp_path, progress, surest=10)
