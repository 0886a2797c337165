from __future__ import annotations

from benchmarks.serving.work import bodies, relations
from models.relation import Relation
from models.text import Instance, Span

KNOWN = [Relation("P19", "place of birth", "Where the head was born."), Relation("P26", "spouse", "Married.")]


def test_beyond_the_known_relations_ids_and_texts_are_new() -> None:
    made = relations(KNOWN, 5)
    assert made[:2] == KNOWN
    assert len({x.id for x in made}) == len({x.name for x in made}) == 5


def test_relations_that_come_again_have_one_wording() -> None:
    [_, again] = relations([Relation("P26", "spouse", "Married.", ("is married to",))], 2)
    assert again.wordings() == ("Married.",)


def test_fewer_relations_than_known_are_the_first() -> None:
    assert relations(KNOWN, 1) == KNOWN[:1]


def test_a_body_is_what_extract_takes() -> None:
    [body] = bodies([Instance("Ada was born in London.", Span(0, 3), Span(16, 22))])
    assert body == {
        "sentence": "Ada was born in London.",
        "head": {"start": 0, "end": 3},
        "tail": {"start": 16, "end": 22},
    }
