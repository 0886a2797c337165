from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.candidates import CandidateList
from models.decision import Calibration
from models.emma.classifier import PairClassifier
from models.emma.encoder import EncoderError
from models.emma.reader import CandidateReader
from models.job.checkpoint import (
    CLASSIFIER,
    CONFIG,
    RECALL,
    TOKENIZER,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    new_checkpoint,
)
from models.job.dataset import Example
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import MARKERS, DescriptionInput, InstanceInput
from tests.models.support import flat

Make = Callable[..., Recipe]
CLOSED = {"reading": "published", "withheld": 0, "reversed": 0, "unrelated": 0}


@pytest.fixture(scope="module")
def sentences(tiny_checkpoint: Checkpoint, tiny_examples: list[Example]) -> list[InstanceInput]:
    return tiny_checkpoint.prepare([x.instance for x in tiny_examples[:12]])


@pytest.fixture(scope="module")
def descriptions(tiny_checkpoint: Checkpoint, tiny_relations: dict[str, Relation]) -> list[DescriptionInput]:
    return tiny_checkpoint.describe(list(tiny_relations.values())[:12])


@pytest.fixture(scope="module")
def lists(sentences: list[InstanceInput], descriptions: list[DescriptionInput]) -> list[CandidateList]:
    """Each sentence with three candidates."""
    return [CandidateList(x, tuple(descriptions[(i + j) % 12] for j in range(3))) for i, x in enumerate(sentences)]


@pytest.fixture
def copy(tiny_checkpoint_dir: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return shutil.copytree(tiny_checkpoint_dir, tmp_path / "checkpoint")


def test_both_models_start_from_the_encoder(tiny_recipe: Make) -> None:
    checkpoint = new_checkpoint(tiny_recipe(reading="pairs"))
    assert isinstance(checkpoint.classifier, PairClassifier)
    first, second = checkpoint.recall.encoder.state_dict(), checkpoint.classifier.encoder.state_dict()
    table = "model.embeddings.word_embeddings.weight"
    markers = [checkpoint.vocabulary.tokenizer.token_to_id(marker) for marker in MARKERS]
    assert {name for name in first if not torch.equal(first[name], second[name])} == {table}
    assert (first[table] != second[table]).any(dim=1).nonzero().flatten().tolist() == markers


def test_a_candidate_reader_starts_from_the_encoders_upper_layers(tiny_recipe: Make) -> None:
    checkpoint = new_checkpoint(tiny_recipe())
    assert isinstance(checkpoint.classifier, CandidateReader)
    assert torch.equal(flat(checkpoint.classifier.layers), flat(checkpoint.recall.encoder.layers[1:]))


@pytest.mark.parametrize("reading", ["once", "pairs"])
def test_both_models_have_layers_of_their_own(tiny_recipe: Make, reading: str) -> None:
    checkpoint = new_checkpoint(tiny_recipe(reading=reading))
    assert checkpoint.classifier is not None
    first, second = ({p.data_ptr() for p in x.parameters()} for x in (checkpoint.recall, checkpoint.classifier))
    assert not first & second


def test_the_same_seed_starts_with_the_same_weights(tiny_recipe: Make) -> None:
    first, again, other = (new_checkpoint(tiny_recipe(seed=seed)).classifier for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(flat(first), flat(again))
    assert not torch.equal(flat(first), flat(other))


def test_recall_alone_has_no_classifier(tiny_recipe: Make) -> None:
    assert new_checkpoint(tiny_recipe(training="recall")).classifier is None


def test_lengths_beyond_the_position_table_are_refused_with_both_numbers(tiny_recipe: Make) -> None:
    with pytest.raises(CheckpointError, match=r"sentence_tokens \+ description_tokens = 264, .* at most 256 tokens"):
        new_checkpoint(tiny_recipe(sentence_tokens=200, description_tokens=64))


@pytest.mark.parametrize("reading", ["once", "pairs"])
def test_lengths_that_fill_the_position_table_can_be_read(tiny_recipe: Make, reading: str) -> None:
    checkpoint = new_checkpoint(tiny_recipe(reading=reading, sentence_tokens=192, description_tokens=64))
    longest = CandidateList(InstanceInput([7] * 192, 1, 2, True), (DescriptionInput([7] * 64, True),))
    assert np.isfinite(checkpoint.classify([longest])).all()


def test_an_encoder_that_is_not_there_is_named(tiny_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="absent"):
        new_checkpoint(tiny_recipe(encoder=str(tmp_path / "absent")))


def test_what_was_saved_computes_the_same(
    tiny_checkpoint: Checkpoint,
    sentences: list[InstanceInput],
    descriptions: list[DescriptionInput],
    lists: list[CandidateList],
    tmp_path: Path,
) -> None:
    tiny_checkpoint.save(tmp_path)
    loaded = load_checkpoint(tmp_path, "cpu")
    assert np.array_equal(loaded.encode_instances(sentences), tiny_checkpoint.encode_instances(sentences))
    assert np.array_equal(loaded.encode_descriptions(descriptions), tiny_checkpoint.encode_descriptions(descriptions))
    assert np.array_equal(loaded.classify(lists), tiny_checkpoint.classify(lists))


def test_what_was_saved_builds_the_same_input(
    tiny_checkpoint: Checkpoint, sentences: list[InstanceInput], tiny_examples: list[Example], tmp_path: Path
) -> None:
    tiny_checkpoint.save(tmp_path)
    assert load_checkpoint(tmp_path).prepare([x.instance for x in tiny_examples[:12]]) == sentences


def test_what_was_saved_knows_how_it_was_made(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint.calibrated(Calibration(threshold=0.25))
    checkpoint.save(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.recipe, loaded.calibration, loaded.training) == (
        checkpoint.recipe,
        checkpoint.calibration,
        checkpoint.training,
    )


@pytest.mark.parametrize("settings", [{"training": "recall"}, {"reading": "pairs"}, {**CLOSED, "candidates": 3}])
def test_other_architectures_are_saved_and_loaded_too(
    tiny_recipe: Make, settings: dict[str, object], tmp_path: Path
) -> None:
    checkpoint = new_checkpoint(tiny_recipe(**settings))
    checkpoint.save(tmp_path)
    loaded = load_checkpoint(tmp_path, "cpu")
    for mine, other in ((checkpoint.recall, loaded.recall), (checkpoint.classifier, loaded.classifier)):
        assert (mine is None) == (other is None)
        assert mine is None or other is None or torch.equal(flat(mine), flat(other))


def test_a_loaded_checkpoint_is_not_in_training(tiny_checkpoint: Checkpoint) -> None:
    assert tiny_checkpoint.classifier is not None
    assert not tiny_checkpoint.recall.training
    assert not tiny_checkpoint.classifier.training


def test_a_directory_that_is_not_there_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent is not a checkpoint made by `emma train`"):
        load_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, RECALL])
def test_a_directory_without_one_of_its_files_is_no_checkpoint(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match="is not a checkpoint made by `emma train`"):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, RECALL, CLASSIFIER])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]"])
def test_a_file_with_other_content_is_no_checkpoint(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint made by `emma train`"):
        load_checkpoint(copy)


@pytest.mark.parametrize("key", ["recipe", "encoder", "special_tokens", "calibration", "training"])
def test_a_configuration_without_one_of_its_parts_is_no_checkpoint(copy: Path, key: str) -> None:
    config = json.loads((copy / CONFIG).read_text(encoding="utf-8"))
    del config[key]
    (copy / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=key):
        load_checkpoint(copy)


def test_weights_of_another_architecture_are_no_checkpoint(copy: Path, tiny_recipe: Make) -> None:
    new_checkpoint(tiny_recipe(**CLOSED, candidates=3)).save(copy / "other")
    shutil.copy(copy / "other" / CLASSIFIER, copy / CLASSIFIER)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(copy)


def test_vectors_do_not_depend_on_the_batch(tiny_checkpoint: Checkpoint, sentences: list[InstanceInput]) -> None:
    alone = np.concatenate([tiny_checkpoint.encode_instances([x]) for x in sentences])
    np.testing.assert_allclose(tiny_checkpoint.encode_instances(sentences), alone, atol=1e-5)


def test_recall_alone_classifies_nothing(tiny_recipe: Make, lists: list[CandidateList]) -> None:
    with pytest.raises(CheckpointError, match="has no classifier: train one"):
        new_checkpoint(tiny_recipe(training="recall")).classify(lists)


def test_the_papers_head_scores_lists_of_its_own_k_only(tiny_recipe: Make, lists: list[CandidateList]) -> None:
    checkpoint = new_checkpoint(tiny_recipe(**CLOSED, candidates=3))
    assert checkpoint.classify(lists).shape == (12, 3)
    with pytest.raises(CheckpointError, match="exactly 3 candidates, got 2: give --k 3"):
        checkpoint.classify([CandidateList(x.instance, x.candidates[:2]) for x in lists])


def test_the_papers_head_scores_no_list_that_is_shorter_than_the_others(
    tiny_recipe: Make, lists: list[CandidateList]
) -> None:
    checkpoint = new_checkpoint(tiny_recipe(**CLOSED, candidates=3))
    short = CandidateList(lists[0].instance, lists[0].candidates[:2])
    with pytest.raises(CheckpointError, match="exactly 3 candidates"):
        checkpoint.classify([short, *lists[1:]])


@pytest.fixture(params=["once", "pairs"])
def either(request: pytest.FixtureRequest, tiny_recipe: Make) -> Checkpoint:
    """A classifier that scores any number of candidates; untrained, but for what tells it from a plain cosine."""
    checkpoint = new_checkpoint(tiny_recipe(reading=request.param))
    assert checkpoint.classifier is not None
    for parameter in checkpoint.classifier.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return checkpoint


def test_a_list_with_fewer_candidates_has_no_logit_in_the_place_of_the_others(
    either: Checkpoint, lists: list[CandidateList]
) -> None:
    found = either.classify([CandidateList(lists[0].instance, lists[0].candidates[:1]), lists[1]])
    assert np.isfinite(found).tolist() == [[True, False, False], [True, True, True]]
    assert np.isneginf(found[0, 1:]).all()


def test_a_candidates_logit_does_not_depend_on_the_other_candidates(
    either: Checkpoint, lists: list[CandidateList]
) -> None:
    alone = either.classify([CandidateList(x.instance, (y,)) for x in lists for y in x.candidates])
    np.testing.assert_allclose(either.classify(lists).flatten(), alone[:, 0], atol=1e-4)


def test_a_candidates_logit_does_not_depend_on_the_other_lists(either: Checkpoint, lists: list[CandidateList]) -> None:
    alone = np.concatenate([either.classify([x]) for x in lists])
    np.testing.assert_allclose(either.classify(lists), alone, atol=1e-4)


def test_a_classifier_in_training_is_run_without_dropout(either: Checkpoint, lists: list[CandidateList]) -> None:
    assert either.classifier is not None
    either.recall.train()
    either.classifier.train()
    assert np.array_equal(either.classify(lists), either.classify(lists))


def test_a_layout_holds_what_recalls_lower_layers_make_of_each_text(
    tiny_checkpoint: Checkpoint, lists: list[CandidateList]
) -> None:
    found = tiny_checkpoint.layout(lists[:2])
    for row, each in enumerate(lists[:2]):
        starts = [0, *found["starts"][row].tolist()]
        for part, start in zip(each.parts, starts, strict=True):
            ids = torch.tensor([part.ids])
            [expected] = tiny_checkpoint.recall.encoder.lower(ids, torch.ones_like(ids), 1).detach()
            size = len(part.ids) - (start > 0)
            torch.testing.assert_close(found["states"][row, start : start + size], expected[:size])


def test_a_layout_is_read_without_dropout_while_recall_is_trained(
    tiny_recipe: Make, lists: list[CandidateList]
) -> None:
    checkpoint = new_checkpoint(tiny_recipe())
    checkpoint.recall.train()
    assert torch.equal(checkpoint.layout(lists)["states"], checkpoint.layout(lists)["states"])


def test_layouts_are_padded_to_few_different_lengths(tiny_checkpoint: Checkpoint, lists: list[CandidateList]) -> None:
    lengths = {tiny_checkpoint.layout([x])["segments"].shape[1] for x in lists}
    assert {length % 8 for length in lengths} == {0}


@pytest.mark.parametrize("training", [True, False])
def test_running_a_model_leaves_it_in_the_mode_it_was_in(
    tiny_recipe: Make, sentences: list[InstanceInput], training: bool
) -> None:
    checkpoint = new_checkpoint(tiny_recipe())
    checkpoint.recall.train(training)
    checkpoint.encode_instances(sentences)
    assert checkpoint.recall.training is training


def test_a_model_in_training_is_run_without_dropout(tiny_recipe: Make, sentences: list[InstanceInput]) -> None:
    checkpoint = new_checkpoint(tiny_recipe())
    checkpoint.recall.train()
    assert np.array_equal(checkpoint.encode_instances(sentences), checkpoint.encode_instances(sentences))


def test_bfloat16_is_near_full_precision_but_not_it(
    tiny_checkpoint: Checkpoint, tiny_recipe: Make, sentences: list[InstanceInput], tmp_path: Path
) -> None:
    tiny_checkpoint.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    config["recipe"]["precision"] = "bf16"
    (tmp_path / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    coarse = load_checkpoint(tmp_path, "cpu")
    exact = tiny_checkpoint.encode_instances(sentences)
    difference = np.abs(coarse.encode_instances(sentences) - exact).max()
    assert 0 < difference < 0.1
    assert np.array_equal(coarse.exact().encode_instances(sentences), exact)
