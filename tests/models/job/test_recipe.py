from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.job.recipe import Recipe

CLOSED = {"withheld": 0, "reversed": 0, "unrelated": 0}


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_every_setting_has_a_default_and_says_what_it_is(name: str) -> None:
    field = Recipe.model_fields[name]
    assert not field.is_required()
    assert field.description


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(seed=5, training="joint", temperature=0.1)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training", "both"),
        ("precision", "fp16"),
        ("head", "wide"),
        ("recall_epochs", 0),
        ("recall_batch", 1),
        ("temperature", 0),
        ("valid_fraction", 1),
        ("withheld", 1.5),
        ("unrelated", 1),
        ("candidates", 1),
        ("choose_among", 1),
        ("sentence_tokens", 4),
        ("save_every", 0),
        ("seed", "x"),
        ("colour", "red"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        Recipe.model_validate({name: value})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", CLOSED)
def test_the_papers_head_is_refused_with_questions_whose_answer_is_none(name: str) -> None:
    with pytest.raises(ValidationError, match="withheld, reversed and unrelated must be 0"):
        Recipe.model_validate({"reading": "published"} | CLOSED | {name: 0.1})


def test_the_papers_head_is_accepted_without_them() -> None:
    assert Recipe.model_validate({"reading": "published"} | CLOSED).reading == "published"


def test_joint_training_is_refused_where_small_relations_are_left_to_recall() -> None:
    with pytest.raises(ValidationError, match="with training=joint, classifier_fewest must be 1, got 20"):
        Recipe(training="joint", classifier_fewest=20)


def test_a_directory_is_told_by_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "mini").mkdir()
    assert Recipe(encoder=str(tmp_path / "mini")).public()["encoder"] == "mini"


def test_a_directory_that_is_gone_is_told_by_its_name_alone(tmp_path: Path) -> None:
    assert Recipe(encoder=str(tmp_path / "mini")).public()["encoder"] == "mini"


def test_a_name_on_the_hub_is_told_in_full() -> None:
    assert Recipe(encoder="someone/mini").public()["encoder"] == "someone/mini"


def test_a_name_for_the_record_is_told_in_place_of_the_directory(tmp_path: Path) -> None:
    assert Recipe(encoder=str(tmp_path), encoder_name="mini").public()["encoder"] == "mini"


def test_all_other_settings_are_told_as_they_are() -> None:
    recipe = Recipe(seed=5)
    assert recipe.public() == recipe.model_dump(exclude={"encoder_name"})
