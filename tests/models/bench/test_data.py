from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.bench.data import SENTENCES, WRITTEN, SplitData, read_published, read_split_data
from models.job.dataset import DataError, read_examples
from models.job.recipe import Recipe
from models.job.resemblance import read_resemblances
from models.relation import read_relations
from models.text import Instance

Make = Callable[..., Recipe]
Read = Callable[..., SplitData]
TESTED = ["P19", "P495", "P50"]


@pytest.fixture(scope="module")
def read(public_data: Path, tiny_recipe: Make) -> Read:
    def run(name: str = "fewrel_m3_seed1", **options: Any) -> SplitData:
        recipe = tiny_recipe(per_relation=options.pop("per_relation", 0))
        settings: dict[str, Any] = {"extra": False, "catalogue": False, "test_per_relation": 0} | options
        return read_split_data(public_data, name, recipe, **settings)

    return run


def trained_relations(data: SplitData) -> set[str | None]:
    return {name for x in (*data.training.train, *data.training.valid) for name in (x.relation, *x.also)}


def test_a_name_tells_data_set_number_of_unseen_relations_and_seed(read: Read) -> None:
    found = read("wikizsl_m3_seed1")
    assert (found.dataset, found.unseen, found.seed) == ("wikizsl", 3, "1")


@pytest.mark.parametrize("name", ["fewrel", "fewrel_15_seed42", "nyt_m5_seed1", "fewrel_mx_seed1"])
def test_another_name_is_refused(read: Read, name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is not the name of a split"):
        read(name)


def test_a_split_that_is_not_there_is_named(read: Read) -> None:
    with pytest.raises(DataError, match=r"fewrel_m3_seed2\.json"):
        read("fewrel_m3_seed2")


@pytest.mark.parametrize("name", ["fewrel_m3_seed1", "wikizsl_m3_seed1"])
def test_what_is_tested_is_never_trained_on_whatever_joins(read: Read, name: str) -> None:
    found = read(name, extra=True)
    assert {x.relation for x in found.test} == set(TESTED)
    assert not trained_relations(found) & set(TESTED)
    assert not {x.instance.sentence for x in found.test} & {x.instance.sentence for x in found.training.train}


def test_text_without_labels_is_of_unseen_relations_and_not_tested(read: Read, public_data: Path) -> None:
    found = read(test_per_relation=5)
    rows = [json.loads(line) for line in gzip.decompress((public_data / "fewrel.jsonl.gz").read_bytes()).splitlines()]
    relations = {Instance.from_tokens(x["tokens"], x["head"], x["tail"]): x["relation"] for x in rows}
    split = json.loads((public_data / "splits" / "fewrel_m3_seed1.json").read_text())
    assert {relations[x] for x in found.unlabelled} == {*split["test"], *split["valid"]}
    assert not {x.sentence for x in found.unlabelled} & {x.instance.sentence for x in found.test}


def test_further_sets_add_instances(read: Read) -> None:
    alone, more = read(), read(extra=True)
    assert len(more.training.train) > len(alone.training.train)
    assert more.files == [
        "fewrel.jsonl.gz",
        "docred_train_intra.jsonl.gz",
        "redocred_dev.jsonl.gz",
        "redocred_dev_negatives.jsonl.gz",
        "wikizsl_part.jsonl.gz",
        "wikizsl_partial_rels_sample.jsonl.gz",
    ]


def test_further_sets_do_not_show_a_tested_relation_the_other_way_round(read: Read, public_data: Path) -> None:
    split = public_data / "splits" / "fewrel_m1_seed9.json"
    split.write_text(json.dumps({"train": ["P19", "P26", "P57"], "valid": ["P69"], "test": ["P40"]}))
    found = read("fewrel_m1_seed9", extra=True)
    # Father is child the other way round.
    assert "P22" not in trained_relations(found)
    assert "P108" in trained_relations(found)


def test_written_sentences_join_but_those_of_relations_that_resemble_an_unseen_one(read: Read) -> None:
    alone, more = read(), read(written=True)
    written, alike = read_relations(WRITTEN), read_resemblances([WRITTEN])
    unseen = {*TESTED, *(str(x.relation) for x in alone.training.valid)}
    kept = {name for name in written if not unseen & alike.get(name, frozenset())}
    assert 0 < len(kept) < len(written)
    assert {x.relation for x in more.training.train} - {x.relation for x in alone.training.train} == kept
    assert more.files == ["fewrel.jsonl.gz", "written_instances.jsonl"]


def test_each_written_sentence_is_of_a_written_relation_and_has_usable_spans() -> None:
    examples, skipped = read_examples(SENTENCES)
    assert not skipped
    assert {x.relation for x in examples} == read_relations(WRITTEN).keys()
    assert len({x.instance.sentence for x in examples}) == len(examples)


@pytest.fixture(scope="module")
def narrower(public_data: Path) -> str:
    """Tests one of the three relations that `fewrel_m3_seed1` leaves unseen."""
    split = {"train": ["P19", "P26", "P40", "P57"], "valid": ["P69"], "test": ["P50"]}
    (public_data / "splits" / "fewrel_m1_seed8.json").write_text(json.dumps(split))
    return "fewrel_m1_seed8"


def test_what_was_trained_for_more_unseen_relations_serves_fewer(read: Read, narrower: str) -> None:
    found, wider = read(narrower, trained_for=["fewrel_m3_seed1"]), read()
    assert {x.relation for x in found.test} == {"P50"}
    assert found.training == wider.training


def test_one_training_leaves_unseen_what_any_of_its_splits_tests(read: Read, public_data: Path) -> None:
    split = {"train": ["P19", "P26", "P40", "P69"], "valid": ["P57"], "test": ["P22"]}
    (public_data / "splits" / "fewrel_m1_seed7.json").write_text(json.dumps(split))
    found = read(trained_for=["fewrel_m3_seed1", "fewrel_m1_seed7"])
    assert {x.relation for x in found.test} == set(TESTED)
    assert not {x.relation for x in found.training.train} & {*TESTED, "P22", "P57", "P69", "P17"}
    assert {x.relation for x in found.training.valid} == {"P69", "P17", "P57"}


def test_training_that_saw_a_tested_relation_is_refused(read: Read, narrower: str) -> None:
    with pytest.raises(DataError, match="which leaves P19, P495 not unseen: give a split"):
        read(trained_for=[narrower])


def test_training_for_another_data_set_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match="wikizsl_m3_seed1 is of another data set than fewrel_m3_seed1"):
        read(trained_for=["wikizsl_m3_seed1"])


def test_the_training_set_is_capped_by_relation_and_file(read: Read) -> None:
    found = read(per_relation=5)
    assert max(Counter(x.relation for x in found.training.train).values()) == 5


def test_the_test_set_is_capped_by_relation(read: Read) -> None:
    assert Counter(x.relation for x in read(test_per_relation=4).test) == dict.fromkeys(TESTED, 4)


def test_the_same_test_instances_are_drawn_each_time(read: Read) -> None:
    assert read(test_per_relation=4).test == read(test_per_relation=4, extra=True).test


def test_only_the_first_edge_of_a_wiki_zsl_sentence_is_used(read: Read, public_data: Path) -> None:
    everything = len(read("fewrel_m3_seed1").test)
    assert 0 < len(read("wikizsl_m3_seed1").test) < everything


def test_what_is_missing_is_told(read: Read) -> None:
    assert read("wikizsl_m3_seed1").missing == "2 of 3 tested relations are there as a small sample only"
    assert read().missing.startswith("3 relations are not whole, ")


def test_relations_are_described_as_published_and_as_here(read: Read) -> None:
    found = read()
    assert {name: [x.id for x in row] for name, row in found.described.items()} == {
        "published": TESTED,
        "catalogue": TESTED,
        "catalogue, one wording": TESTED,
    }
    assert not found.described["published"][0].paraphrases
    ours, one = found.described["catalogue"][0], found.described["catalogue, one wording"][0]
    assert ours.paraphrases
    assert one == replace(ours, paraphrases=())


@pytest.mark.parametrize(("ours", "several"), [(False, False), (True, True)])
def test_training_has_our_wordings_where_they_are_asked_for(read: Read, ours: bool, several: bool) -> None:
    assert (len(read(catalogue=ours).training.relations["P26"].wordings()) > 1) is several


def test_a_published_description_is_told_apart_from_its_label(public_data: Path) -> None:
    found = read_published(public_data / "descriptions" / "fewrel_emma_rematching_alignre.json")["P19"]
    assert found.name == "place of birth"
    assert not found.description.startswith("place of birth is")
    assert (found.head_types, found.tail_types) == (("person", "human"), ("place",))


def test_descriptions_of_another_form_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "descriptions.json"
    file.write_text('{"P19": {"name": "place of birth"}}')
    with pytest.raises(DataError, match=r"descriptions\.json: not the published descriptions"):
        read_published(file)
