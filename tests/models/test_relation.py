from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.relation import Relation, RelationFileError, opposites, read_relations, write_relations

SPOUSE = {"id": "P26", "name": "spouse", "description": "They are married."}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "relations.jsonl"


def fill(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_the_principal_wording_comes_first() -> None:
    assert Relation("a", "a", "first", ("second", "third")).wordings() == ("first", "second", "third")


def test_only_id_name_and_description_are_required() -> None:
    assert Relation.from_json(SPOUSE) == Relation("P26", "spouse", "They are married.", (), None, False)


def test_a_null_list_of_paraphrases_is_an_empty_one() -> None:
    assert Relation.from_json(SPOUSE | {"paraphrases": None}).paraphrases == ()


@pytest.mark.parametrize("key", ["id", "name", "description"])
def test_a_missing_key_is_named_with_file_and_line(file: Path, key: str) -> None:
    fill(file, SPOUSE, {name: text for name, text in SPOUSE.items() if name != key})
    with pytest.raises(RelationFileError, match=f"relations.jsonl, line 2: key '{key}' is missing"):
        read_relations(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 26),
        ("name", None),
        ("description", ["They are married."]),
        ("paraphrases", "is married to"),
        ("paraphrases", [1]),
        ("inverse", 7),
        ("symmetric", "no"),
        ("head_types", "person"),
        ("tail_types", [None]),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_file_and_line(file: Path, key: str, value: object) -> None:
    fill(file, SPOUSE, SPOUSE | {key: value})
    with pytest.raises(RelationFileError, match=f"relations.jsonl, line 2: '{key}' must be"):
        read_relations(file)


@pytest.mark.parametrize("line", ["{", "not JSON", '["P26", "spouse"]', '"P26"', "7", "null"])
def test_a_line_that_is_no_json_object_is_named(file: Path, line: str) -> None:
    file.write_text(f"{json.dumps(SPOUSE)}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(RelationFileError, match=r"relations.jsonl, line 3: "):
        read_relations(file)


def test_a_file_without_relations_is_refused(file: Path) -> None:
    file.write_text("\n  \n", encoding="utf-8")
    with pytest.raises(RelationFileError, match=r"no relation found in .*relations.jsonl"):
        read_relations(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(RelationFileError, match=r"relations.jsonl"):
        read_relations(file)


def test_a_file_in_another_encoding_is_named(file: Path) -> None:
    file.write_bytes(json.dumps(SPOUSE | {"name": "époux"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(RelationFileError, match=r"relations.jsonl"):
        read_relations(file)


def test_relations_come_in_the_order_of_first_appearance(file: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other.jsonl", SPOUSE | {"id": "c"}, SPOUSE | {"id": "a"})
    fill(file, SPOUSE | {"id": "b"}, SPOUSE | {"id": "c"})
    assert list(read_relations([file, other])) == ["b", "c", "a"]


def test_an_id_that_appears_again_adds_its_wordings_once(file: Path) -> None:
    fill(file, SPOUSE | {"paraphrases": ["wed"]}, SPOUSE | {"description": "They wed.", "paraphrases": ["wed", "wife"]})
    assert read_relations(file)["P26"].wordings() == ("They are married.", "wed", "They wed.", "wife")


def test_an_id_that_appears_again_keeps_its_first_name(file: Path) -> None:
    fill(file, SPOUSE, SPOUSE | {"name": "married"})
    assert read_relations(file)["P26"].name == "spouse"


def test_an_id_that_appears_again_adds_what_was_not_said_of_its_direction(file: Path) -> None:
    fill(file, SPOUSE, SPOUSE | {"inverse": "P27", "symmetric": True})
    relation = read_relations(file)["P26"]
    assert (relation.inverse, relation.symmetric) == ("P27", True)


def test_types_are_those_of_the_first_line_that_has_any(file: Path) -> None:
    fill(file, SPOUSE | {"head_types": ["person"]}, SPOUSE | {"head_types": ["human"], "tail_types": ["wife"]})
    relation = read_relations(file)["P26"]
    assert (relation.head_types, relation.tail_types) == (("person",), ("wife",))


def test_types_aliases_and_tags_are_written_only_where_there_are_any() -> None:
    plain = Relation("P26", "spouse", "They are married.")
    assert not {"head_types", "tail_types", "aliases", "tags"} & plain.to_json().keys()
    assert replace(plain, tail_types=("wife", "husband"), tags=("family",)).to_json() == plain.to_json() | {
        "tail_types": ["wife", "husband"],
        "tags": ["family"],
    }


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TEXTS = st.lists(TEXT).map(tuple)


@given(
    st.lists(
        st.builds(Relation, TEXT, TEXT, TEXT, TEXTS, st.none() | TEXT, st.booleans(), TEXTS, TEXTS, TEXTS, TEXTS),
        min_size=1,
        unique_by=lambda relation: relation.id,
    )
)
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, relations: list[Relation]) -> None:
    file = tmp_path_factory.getbasetemp() / "round-trip.jsonl"
    write_relations(relations, file)
    assert list(read_relations(file).values()) == relations


def test_the_shipped_catalogue_can_be_read_and_its_inverses_are_in_it() -> None:
    relations = read_relations(Path(__file__).parents[2] / "models" / "catalogue" / "default.jsonl")
    assert {x.inverse for x in relations.values() if x.inverse is not None} <= relations.keys()


def test_an_inverse_holds_the_other_way_round_whichever_of_the_two_names_it() -> None:
    father = Relation("P22", "father", "The tail is the father of the head.", inverse="P40")
    child = Relation("P40", "child", "The tail is a child of the head.")
    assert opposites([father, child]) == {"P22": frozenset({"P40"}), "P40": frozenset({"P22"})}


def test_a_relation_may_have_several_inverses() -> None:
    parents = [Relation(name, name, "A parent.", inverse="P40") for name in ("P22", "P25")]
    assert opposites(parents)["P40"] == {"P22", "P25"}


def test_a_symmetric_relation_is_its_own_opposite() -> None:
    assert opposites([Relation("P26", "spouse", "They are married.", symmetric=True)]) == {"P26": {"P26"}}
