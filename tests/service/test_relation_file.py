from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.relation import Relation, RelationFileError
from service.fields import NAME_CHARACTERS
from service.registration import derived_id
from service.relation_file import read_rows, writer

CHARACTERS = st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(' ",\n|')
TEXTS = st.text(CHARACTERS, max_size=NAME_CHARACTERS - 2).map(lambda text: f"a{text}b")
IDS = st.from_regex("[A-Za-z0-9]{1,8}", fullmatch=True)
LISTS = st.lists(TEXTS, max_size=3, unique=True).map(tuple)
RELATIONS = st.builds(
    Relation,
    IDS,
    TEXTS,
    TEXTS,
    paraphrases=LISTS,
    inverse=st.none() | IDS,
    symmetric=st.booleans(),
    head_types=LISTS,
    tail_types=LISTS,
    aliases=LISTS,
    tags=st.lists(IDS, max_size=3, unique=True).map(tuple),
)


def faults(path: Path) -> list[tuple[str, str | None]]:
    return [(row.place.removeprefix(f"{path}, "), row.fault) for row in read_rows(path)]


@pytest.fixture(params=["relations.jsonl", "relations.csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found: Path = tmp_path / request.param
    return found


@given(relations=st.lists(RELATIONS, max_size=4))
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, relations: list[Relation], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("files") / f"relations{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer(file, as_csv=suffix == ".csv")(relations)
    assert [row.relation for row in read_rows(path)] == relations


def test_a_relation_without_an_id_gets_the_one_that_the_service_makes(path: Path) -> None:
    path.write_text('{"name": "a", "description": "b"}\n' if path.suffix == ".jsonl" else "name,description\na,b\n")
    [row] = read_rows(path)
    assert row.relation == Relation(derived_id("a", "b"), "a", "b")


def test_each_row_at_fault_has_its_place_and_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "relations.jsonl"
    path.write_text(
        '{"id": "a", "name": "b", "description": "c"}\n'
        '{"id": "x", "name": "y"}\n\n'
        "{oh\n"
        "[]\n"
        '{"id": "x", "name": " ", "description": "c"}\n'
        '{"id": "x", "name": "b", "description": "c", "colour": "red"}\n'
    )
    assert faults(path) == [
        ("line 1", None),
        ("line 2", "x: description: Field required"),
        ("line 4", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("line 5", "row: Input should be a valid dictionary or instance of RelationInput"),
        ("line 6", "x: name: is empty or has no readable character"),
        ("line 7", "x: colour: Extra inputs are not permitted"),
    ]


def test_each_row_of_a_table_at_fault_has_its_place_and_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "relations.csv"
    path.write_text('id,name,description,paraphrases\na,b,"c\nd",\nx,y\nx,y,z,oops\nx,y,z,"[""w""]",more\n')
    assert faults(path) == [
        ("line 3", None),
        ("line 4", "x: description: Field required"),
        ("line 5", "a cell is not JSON; only those of id, name, description, inverse are plain text"),
        ("line 6", "more cells than the 4 columns"),
    ]


def test_the_files_of_the_offline_job_are_read(test_data: Path) -> None:
    assert all(row.fault is None for row in read_rows(test_data / "relations.jsonl"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\na,b\n", "no column 'description'"),
        ("id,name,description,colour\na,b,c,d\n", "an unknown column 'colour'"),
        ("", "no column 'name'"),
        ('name,description\na,"b', "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "relations.csv"
    path.write_text(text)
    with pytest.raises(RelationFileError, match=message):
        read_rows(path)


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "relations.csv"
    path.write_text("name,description\na,b\n", encoding="utf-8-sig")
    assert [row.fault for row in read_rows(path)] == [None]


def test_a_file_that_is_not_utf_8_is_explained(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RelationFileError, match="cannot be read"):
        read_rows(path)
