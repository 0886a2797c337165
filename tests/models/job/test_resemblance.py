from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.job.resemblance import read_resemblances
from models.relation import RelationFileError, read_relations
from tests.models.support import jsonl

CATALOGUE = Path(__file__).parents[3] / "models" / "catalogue"
ACTOR = {"id": "P725", "name": "voice actor", "description": "The tail speaks in the head.", "resembles": ["P161"]}


def filled(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "relations.jsonl"
    file.write_text(jsonl(rows) + "\n", encoding="utf-8")
    return file


def test_two_relations_resemble_one_another_whichever_of_them_says_so(tmp_path: Path) -> None:
    found = read_resemblances([filled(tmp_path, ACTOR)])
    assert found == {"P725": frozenset({"P161"}), "P161": frozenset({"P725"})}


def test_a_relation_that_says_nothing_of_it_resembles_none(tmp_path: Path) -> None:
    assert not read_resemblances([filled(tmp_path, ACTOR | {"resembles": []}, ACTOR | {"resembles": None})])


@pytest.mark.parametrize("value", ["P161", [161], {"P161": 1}])
def test_what_is_no_list_of_ids_is_refused_with_its_line(tmp_path: Path, value: object) -> None:
    with pytest.raises(RelationFileError, match="line 2: 'resembles' must be a list of relation ids, got"):
        read_resemblances([filled(tmp_path, ACTOR, ACTOR | {"resembles": value})])


def test_no_written_relation_is_of_the_catalogue_but_all_that_one_resembles_are() -> None:
    ours, written = (read_relations(CATALOGUE / name) for name in ("default.jsonl", "written.jsonl"))
    assert not ours.keys() & written.keys()
    assert read_resemblances([CATALOGUE / "written.jsonl"]).keys() <= ours.keys() | written.keys()
