"""The methods that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.baselines.emma import Emma, SelfTrained
from models.baselines.encoding_strategies import EncodingStrategy, Hybrid
from models.baselines.finecl import FineCl
from models.baselines.method import Method
from models.baselines.prompt_match import PromptMatch
from models.baselines.re_matching import ReMatching
from models.baselines.zs_bert import ZsBert
from models.job.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Entry:
    """A method as it is compared.

    Attributes:
        title: its name in tables.
        make: a recipe to the method.
        settings: what differs from the recipe that is common to all.
        extra: trains on the other public sets besides.
        catalogue: trains with this project's own wordings besides the published descriptions, and is tested with both.
        written: trains on the sentences besides that this project wrote.
    """

    title: str
    make: Callable[[Recipe], Method]
    settings: dict[str, Any] = field(default_factory=dict)
    extra: bool = False
    catalogue: bool = False
    written: bool = False


_PLAIN = {"recall_start_share": 0.0, "paraphrases": False}
# The inputs of the published classifier are detached from recall, which makes joint training two trainings in one
# loop; apart, both have the budget that all methods have.
_PUBLISHED = {
    **_PLAIN,
    "contrast": "instances",
    "reading": "published",
    "candidates": 2,
    "neighbours": 1,
    "withheld": 0.0,
    "reversed": 0.0,
    "unrelated": 0.0,
    "classifier_start": "encoder",
}

# Eight sentences are enough for recall to know a relation by, not for the classifier to tell it from others by.
_WRITTEN = {"classifier_fewest": 20}

METHODS: dict[str, Entry] = {
    "emma": Entry("EMMA as built", Emma, extra=True, catalogue=True),
    "emma-written": Entry(
        "EMMA as built, with the written sentences", Emma, _WRITTEN, extra=True, catalogue=True, written=True
    ),
    "emma-written-self-trained": Entry(
        "EMMA as built, with the written sentences, self-trained on unlabelled text",
        SelfTrained,
        _WRITTEN,
        extra=True,
        catalogue=True,
        written=True,
    ),
    "emma-self-trained": Entry(
        "EMMA as built, self-trained on unlabelled text", SelfTrained, extra=True, catalogue=True
    ),
    "emma-longer": Entry(
        "EMMA as built, trained for longer",
        Emma,
        {"per_relation": 400, "recall_epochs": 2, "classifier_instances": 20_000},
        extra=True,
        catalogue=True,
    ),
    "emma-fewer-data": Entry("EMMA as built, without further sets", Emma, catalogue=True),
    "emma-published": Entry("EMMA as published", Emma, _PUBLISHED),
    "emma-published-joint": Entry("EMMA as published, trained jointly", Emma, {**_PUBLISHED, "training": "joint"}),
    "emma-published-no-virtual": Entry(
        "EMMA as published, without virtual entities", Emma, {**_PUBLISHED, "virtual_entities": False}
    ),
    "emma-pairs": Entry(
        "EMMA as built, the sentence read anew with each candidate",
        Emma,
        {"reading": "pairs"},
        extra=True,
        catalogue=True,
    ),
    "emma-joint": Entry("EMMA as built, trained jointly", Emma, {"training": "joint"}, extra=True, catalogue=True),
    "emma-no-virtual": Entry(
        "EMMA as built, without virtual entities", Emma, {"virtual_entities": False}, extra=True, catalogue=True
    ),
    "re-matching": Entry("RE-Matching (template)", ReMatching, _PLAIN),
    "re-matching-synonyms": Entry("RE-Matching (synonyms)", lambda recipe: ReMatching(recipe, "synonyms"), _PLAIN),
    "re-matching-keyword": Entry("RE-Matching (keyword)", lambda recipe: ReMatching(recipe, "keyword"), _PLAIN),
    "zs-bert": Entry("ZS-BERT", ZsBert, _PLAIN),
    "prompt-match": Entry("PromptMatch", PromptMatch, _PLAIN),
    # Pre-trained first where the training data have enough pairs of sentences about the same entities.
    "encoding-ht": Entry("[H,T]", lambda recipe: EncodingStrategy(recipe, "ht", pretrain=True), _PLAIN),
    "encoding-mask": Entry("[MASK]", lambda recipe: EncodingStrategy(recipe, "mask", pretrain=True), _PLAIN),
    "encoding-ht-mask": Entry("[H,T,Mask]", lambda recipe: EncodingStrategy(recipe, "ht-mask", pretrain=True), _PLAIN),
    "encoding-hybrid": Entry("[H,T]+Mask", lambda recipe: Hybrid(recipe, pretrain=True), _PLAIN),
    "finecl": Entry("FineCL, then EMMA's recall", FineCl, _PLAIN),
}
