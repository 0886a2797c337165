from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.job.dataset import (
    DataError,
    Example,
    Split,
    TrainingData,
    read_examples,
    read_split,
    training_data,
    validation_data,
)
from models.relation import Relation
from models.text import Instance
from tests.models.support import jsonl, related

ROW = {"tokens": ["Ada", "lived", "in", "London", "."], "head": [0, 1], "tail": [3, 4], "relation": "P551"}
RELATIONS = {name: Relation(name, name, f"about {name}") for name in "abcdefg"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instances.jsonl"


def fill(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text(jsonl(rows), encoding="utf-8")
    return file


def divided(
    examples: Sequence[Example], split: Split | None = None, *, valid_fraction: float = 0.5, seed: int = 0
) -> TrainingData:
    return training_data([examples], RELATIONS, split=split, valid_fraction=valid_fraction, seed=seed)


def many(relation: str | None, count: int = 20) -> list[Example]:
    return [related(relation, sentence=f"{relation}{i} met x{i} .") for i in range(count)]


def sentences(examples: Sequence[Example]) -> set[str]:
    return {x.instance.sentence for x in examples}


def test_a_row_becomes_an_example(file: Path) -> None:
    examples, skipped = read_examples(fill(file, ROW))
    assert examples == [Example(Instance.from_tokens(ROW["tokens"], [0, 1], [3, 4]), "P551")]  # type: ignore[arg-type]
    assert not skipped


def test_a_null_relation_is_an_unrelated_pair(file: Path) -> None:
    assert read_examples(fill(file, ROW | {"relation": None}))[0][0].relation is None


def test_a_pair_may_be_marked_as_related_the_other_way_round(file: Path) -> None:
    unrelated = ROW | {"relation": None}
    fill(file, unrelated | {"reverse_related": True}, unrelated | {"reverse_related": False}, unrelated)
    assert [x.reverse_related for x in read_examples(file)[0]] == [True, False, False]


def test_the_truth_of_a_pair_is_every_relation_that_holds() -> None:
    assert related("a", "b").truth == {"a", "b"}
    assert related(None).truth == set()


def test_blank_lines_are_passed_over(file: Path) -> None:
    file.write_text(f"\n{json.dumps(ROW)}\n\n", encoding="utf-8")
    assert len(read_examples(file)[0]) == 1


def test_a_gzipped_file_is_read_as_a_plain_one(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "instances.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl([ROW, ROW | {"relation": "é"}]).encode()))
    assert read_examples(packed) == read_examples(fill(file, ROW, ROW | {"relation": "é"}))


@pytest.mark.parametrize("key", ["tokens", "head", "tail", "relation"])
def test_a_row_without_a_key_is_named_with_file_and_line(file: Path, key: str) -> None:
    fill(file, ROW, ROW, {name: value for name, value in ROW.items() if name != key})
    with pytest.raises(DataError, match=f"instances.jsonl, line 3: not an instance .*{key}.*; expected"):
        read_examples(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": None},
        {"tokens": [1, 2]},
        {"head": 3},
        {"head": [1]},
        {"tail": ["a", "b"]},
        {"tail": [0, 1, 2]},
        {"reverse_related": 1},
    ],
)
def test_a_row_of_wrong_types_is_named_with_file_and_line(file: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"instances.jsonl, line 2: not an instance"):
        read_examples(fill(file, ROW, ROW | changes))


@pytest.mark.parametrize("line", ["[]", "7", '"text"', "null"])
def test_a_line_that_is_no_object_is_named_with_file_and_line(file: Path, line: str) -> None:
    file.write_text(f"{json.dumps(ROW)}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"instances.jsonl, line 2: not an instance"):
        read_examples(file)


def test_a_line_that_is_not_json_is_named_with_file_and_line(file: Path) -> None:
    file.write_text(f"{json.dumps(ROW)}\n\n{{'tokens': []}}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"instances.jsonl, line 3: not JSON"):
        read_examples(file)


def test_a_file_in_another_encoding_is_named(file: Path) -> None:
    file.write_bytes(json.dumps(ROW | {"relation": "é"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DataError, match=r"instances.jsonl"):
        read_examples(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(DataError, match=r"instances.jsonl: cannot be read"):
        read_examples(file)


@pytest.mark.parametrize("content", [b"plain text", gzip.compress(jsonl([ROW] * 50).encode())[:-20]])
def test_a_broken_gzipped_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "instances.jsonl.gz"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"instances.jsonl.gz: cannot be read"):
        read_examples(file)


def test_rows_whose_spans_cannot_be_used_are_left_out_and_counted(file: Path) -> None:
    fill(file, ROW, ROW | {"head": [2, 9]}, ROW | {"tail": [0, 1]}, ROW | {"tail": [4, 4]})
    examples, skipped = read_examples(file)
    assert len(examples) == 1
    assert skipped == Counter({"tail: unusable span or text": 2, "head: unusable span or text": 1})


def test_relations_can_be_left_out(file: Path) -> None:
    fill(file, ROW, ROW | {"relation": "b"}, ROW | {"relation": None})
    found, _ = read_examples(file, without=frozenset({"P551"}))
    assert [x.relation for x in found] == ["b", None]


def numbered(relations: Sequence[str | None]) -> list[dict[str, Any]]:
    return [
        ROW | {"tokens": [f"Ada{i}", *ROW["tokens"][1:]], "relation": name}  # type: ignore[index]
        for i, name in enumerate(relations)
    ]


def test_the_cap_holds_for_each_relation_but_not_for_unrelated_pairs(file: Path) -> None:
    fill(file, *numbered(["a"] * 5 + ["b"] * 2 + [None] * 4))
    found, _ = read_examples(file, per_relation=3)
    assert Counter(x.relation for x in found) == {"a": 3, "b": 2, None: 4}


def test_the_cap_keeps_the_order_of_the_file(file: Path) -> None:
    fill(file, *numbered(["a", "b"] * 20))
    order = {x.instance: i for i, x in enumerate(read_examples(file)[0])}
    rows = [order[x.instance] for x in read_examples(file, per_relation=7)[0]]
    assert rows == sorted(rows)


def test_the_cap_draws_by_the_seed(file: Path) -> None:
    fill(file, *numbered(["a"] * 40))
    first, again, other = (read_examples(file, per_relation=10, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_pair_of_several_relations_knows_the_others(file: Path) -> None:
    fill(file, ROW | {"relation": "a"}, ROW | {"relation": "b"}, ROW | {"relation": "c", "tail": [4, 5]})
    found = {x.relation: x.also for x in read_examples(file)[0]}
    assert found == {"a": frozenset("b"), "b": frozenset("a"), "c": frozenset()}


def test_the_other_relations_are_known_even_when_the_cap_drops_them(file: Path) -> None:
    fill(file, ROW | {"relation": "a"}, *[ROW | {"relation": "b"}] * 2)
    found, _ = read_examples(file, per_relation=1)
    assert sorted((str(x.relation), tuple(x.also)) for x in found) == [("a", ("b",)), ("b", ("a",))]


def test_the_other_way_round_is_another_pair(file: Path) -> None:
    fill(file, ROW | {"relation": "a"}, ROW | {"relation": "b", "head": ROW["tail"], "tail": ROW["head"]})
    assert [x.also for x in read_examples(file)[0]] == [frozenset(), frozenset()]


def test_a_split_is_read(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text('{"train": ["a", "b"], "valid": ["c"], "test": []}')
    assert read_split(file) == Split(frozenset("ab"), frozenset("c"), frozenset())


@pytest.mark.parametrize("content", ["", "[]", '{"train": [], "valid": []}', '{"train": 1, "valid": [], "test": []}'])
def test_a_file_that_is_no_split_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(DataError, match=r"split.json: not a split file with train, valid and test"):
        read_split(tmp_path / "split.json")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split.json: not a split file"):
        read_split(tmp_path / "split.json")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_relation_in_two_parts_is_named(tmp_path: Path, part: str) -> None:
    parts = {"train": ["a"], "valid": ["c"], "test": ["b"]}
    parts[part] = ["c", *parts[part]]
    (tmp_path / "split.json").write_text(json.dumps(parts))
    with pytest.raises(DataError, match=r"split.json: c in more than one part"):
        read_split(tmp_path / "split.json")


SPLIT = Split(frozenset("ab"), frozenset("c"), frozenset("d"))


def test_a_split_keeps_unseen_relations_out_of_training() -> None:
    data = divided([x for name in "abcd" for x in many(name)], SPLIT)
    assert {x.relation for x in data.train} == {"a", "b"}
    assert data.train_relations == ["a", "b"]


def test_a_split_validates_on_sentences_of_its_own_relations_alone() -> None:
    data = divided([x for name in "abcd" for x in many(name)], SPLIT)
    assert {x.relation for x in data.valid} == {"c"}


def test_with_a_split_the_candidates_are_all_relations_neither_trained_on_nor_tested() -> None:
    data = divided([x for name in "abcde" for x in many(name)], SPLIT)
    assert data.train_relations == ["a", "b", "e"]
    assert data.valid_relations == ["c", "f", "g"]


@pytest.mark.parametrize("relation", ["c", "d"])
@pytest.mark.parametrize("other", ["a", None])
def test_a_sentence_of_an_unseen_relation_is_not_trained_on(relation: str, other: str | None) -> None:
    shared = "Ada met Bob in x ."
    examples = [*many("a"), *many("b"), *many("c"), related(relation, sentence=shared)]
    clash = Example(Instance.from_tokens(shared.split(), [0, 1], [2, 3]), other)
    data = divided([*examples, clash], SPLIT)
    assert shared not in sentences(data.train)
    assert data.skipped == {"sentence of an unseen relation": 1}


def test_a_pair_that_also_has_an_unseen_relation_is_not_trained_on() -> None:
    clash = related("a", "d", sentence="Ada met Bob .")
    data = divided([*many("a"), *many("b"), *many("c"), clash], SPLIT)
    assert clash not in data.train + data.valid


def test_with_a_split_unrelated_pairs_are_divided_by_sentence() -> None:
    data = divided([*many("a"), *many("b"), *many("c"), *many(None, 60)], SPLIT)
    train, valid = ({x.instance.sentence for x in part if x.relation is None} for part in (data.train, data.valid))
    assert len(train) + len(valid) == 60
    assert min(len(train), len(valid)) > 10


def test_without_a_split_a_part_of_the_sentences_is_held_out() -> None:
    data = divided([*many("a", 200), *many("b", 200)], valid_fraction=0.25)
    assert 60 < len(data.valid) < 140
    assert len(data.train) + len(data.valid) == 400
    assert data.valid_relations == data.train_relations == ["a", "b"]


def test_without_a_split_no_sentence_is_in_both_parts() -> None:
    examples = [related(name, sentence=f"Ada{i} met x .") for i in range(50) for name in ("a", "b", None)]
    data = divided(examples)
    assert not sentences(data.train) & sentences(data.valid)


def test_the_same_sentences_are_held_out_whatever_else_there_is() -> None:
    few = divided([*many("a"), *many("b")])
    more = divided([*many("c"), *many("a"), *many("b")])
    assert sentences(few.valid) <= sentences(more.valid)


def test_validation_is_shuffled_by_the_seed() -> None:
    examples = [*many("a", 60), *many("b", 60)]
    first, again, other = (divided(examples, seed=seed).valid for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(map(repr, first)) == sorted(map(repr, other))


def test_relations_without_a_description_are_named_and_counted() -> None:
    with pytest.raises(DataError, match=r"2 relations have no description.*y \(3 instances\), x \(2 instances\)"):
        divided([*many("x", 2), *many("a"), *many("y", 3)])


def test_an_unseen_relation_without_a_description_is_named() -> None:
    with pytest.raises(DataError, match="z"):
        divided([*many("a"), *many("b"), *many("c")], Split(frozenset("ab"), frozenset("cz"), frozenset()))


@pytest.mark.parametrize("examples", [[], many("a"), many(None), many("c")])
def test_fewer_than_two_relations_are_too_few_to_train_on(examples: list[Example]) -> None:
    with pytest.raises(DataError, match="relations to train on, at least 2 are needed"):
        divided(examples, SPLIT)


def test_nothing_to_choose_by_is_told_before_the_training() -> None:
    with pytest.raises(DataError, match="validat"):
        divided([*many("a"), *many("b")], valid_fraction=0)


def test_relations_are_told_by_how_many_instances_are_trained_on() -> None:
    data = TrainingData([*many("a", 12), *many("b", 10), *many("c", 3)], [], RELATIONS, ["a", "b", "c"], [])
    assert data.trained_on(1) == ["a", "b", "c"]
    assert data.trained_on(10) == ["a", "b"]


def test_validation_can_be_among_some_of_the_relations_alone() -> None:
    data = divided([*many("a"), *many("b"), *many("c"), *many(None)])
    found = data.choosing_among({"a", "c", "z"})
    assert found.valid_relations == ["a", "c"]
    assert {x.relation for x in found.valid} == {"a", "c", None}
    assert (found.train, found.train_relations) == (data.train, ["a", "b", "c"])


def test_validation_is_among_all_relations_where_no_pair_of_the_wanted_ones_is_held_out() -> None:
    data = divided([*many("a"), *many("b"), *many(None)])
    assert data.choosing_among({"z"}) == data


def test_the_digest_is_the_same_for_the_same_data() -> None:
    examples = [*many("a"), *many("b")]
    assert divided(examples).digest() == divided(list(examples)).digest()


def test_the_digest_of_data_without_further_marks_stays_that_of_earlier_versions() -> None:
    data = TrainingData([related("a")], [related(None)], {"a": RELATIONS["a"]}, ["a"], ["a"])
    assert data.digest() == "2f743ed4f939a415"


def test_the_digest_tells_other_instances() -> None:
    examples = [*many("a"), *many("b")]
    assert divided(examples).digest() != divided([*examples, *many("c")]).digest()


def test_what_resembles_an_unseen_relation_is_left_out_unless_the_split_trains_on_it() -> None:
    examples = [x for name in "abcdef" for x in many(name)]
    alike = {"d": frozenset("ae"), "a": frozenset("d"), "e": frozenset("d")}
    split = Split(frozenset("abc"), frozenset("f"), frozenset("d"))
    found = training_data([examples], RELATIONS, split=split, valid_fraction=0, seed=0, resembling=alike)
    assert found.train_relations == ["a", "b", "c"]
    assert found.valid_relations == ["f", "g"]


def test_an_inverse_of_an_unseen_relation_is_left_out_unless_the_split_trains_on_it() -> None:
    relations = RELATIONS | {name: Relation(name, name, f"about {name}", inverse="d") for name in "ae"}
    split = Split(frozenset("abc"), frozenset("f"), frozenset("d"))
    examples = [x for name in "abcdef" for x in many(name)]
    found = training_data([examples], relations, split=split, valid_fraction=0, seed=0)
    assert found.train_relations == ["a", "b", "c"]


def test_what_a_relation_resembles_may_hold_too_in_training_alone() -> None:
    alike = {"a": frozenset("b"), "b": frozenset("a")}
    examples = [*many("a"), *many("b"), *many("c")]
    found = training_data([examples], RELATIONS, split=None, valid_fraction=0.5, seed=0, resembling=alike)
    assert {(x.relation, x.also) for x in found.train} == {
        ("a", frozenset("b")),
        ("b", frozenset("a")),
        ("c", frozenset()),
    }
    assert {x.also for x in found.valid} == {frozenset()}


def test_the_digest_tells_other_wordings() -> None:
    examples = [*many("a"), *many("b")]
    relations = RELATIONS | {"g": Relation("g", "g", "about g", ("another wording",))}
    other = training_data([examples], relations, split=None, valid_fraction=0.5, seed=0)
    assert divided(examples).digest() != other.digest()


def test_all_examples_can_be_chosen_by() -> None:
    examples = [related("b"), related("a"), related(None), related("c")]
    found = validation_data(examples, RELATIONS)
    assert (found.train, found.valid, found.valid_relations) == ([], examples, ["a", "b", "c"])


def test_examples_to_choose_by_need_descriptions_too() -> None:
    with pytest.raises(DataError, match="1 relations have no description"):
        validation_data([related("x")], RELATIONS)
