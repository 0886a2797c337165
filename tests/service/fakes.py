"""A bundle made by hand and a model that needs no weights: bags of words, and logits from shared words."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from models.bundle import (
    CATALOGUE,
    CLASSIFIER,
    FILES,
    INDEX,
    RECALL,
    TOKENIZER,
    Bundle,
    FileRecord,
    Manifest,
    fingerprint,
    load_bundle,
    write_manifest,
)
from models.candidates import CandidateList
from models.decision import Calibration
from models.relation import Relation, write_relations
from models.text import MARKERS, DescriptionInput, InputBuilder, Instance, InstanceInput, Lengths, description_text

Vectors = npt.NDArray[np.float32]

DIMENSION = 64
LENGTHS = Lengths(sentence=64, description=32)
CATALOGUE_RELATIONS = [
    Relation("P19", "place of birth", "The head was born in the tail."),
    Relation("P20", "place of death", "The head died in the tail."),
    Relation("P26", "spouse", "The head is married to the tail."),
    Relation("P108", "employer", "The head works for the tail."),
    Relation("P159", "headquarters", "The head has its main office in the tail."),
    Relation("P800", "notable work", "The head wrote or painted the tail."),
]
_CORPUS = (
    *(description_text(relation.name, relation.description) for relation in CATALOGUE_RELATIONS),
    "Ada Anna Alan Lovelace Turing born died London Paris married wrote painted lives knows teaches taught somebody",
)
WORDS = sorted({word for text in _CORPUS for word in re.findall("[a-z]+", text.lower())})
FUNCTION_WORDS = {"the", "head", "tail", "in", "is", "was", "to", "of", "or", "for", "its", "has", "place"}
SENTENCE = "Ada Lovelace was born in London."
HEAD, TAIL = {"start": 0, "end": 12}, {"start": 25, "end": 31}
REQUEST = {"sentence": SENTENCE, "head": HEAD, "tail": TAIL}


def make_tokenizer(path: Path) -> None:
    """Whole words for `WORDS`, single letters for any other ASCII word, [UNK] for the rest."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"-()[]/"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *MARKERS]
    tokens = [*special, *letters, *(f"##{letter}" for letter in letters), *(w for w in WORDS if len(w) > 1)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))


def make_bundle(path: Path, relations: Sequence[Relation] = tuple(CATALOGUE_RELATIONS), recall: bytes = b"1") -> Bundle:
    """A bundle whose graphs are not graphs; another `recall` makes it another encoder."""
    import faiss

    path.mkdir(parents=True)
    make_tokenizer(path / TOKENIZER)
    (path / RECALL).write_bytes(recall)
    (path / CLASSIFIER).write_bytes(b"2")
    write_relations(relations, path / CATALOGUE)
    inputs = InputBuilder.from_file(path / TOKENIZER, LENGTHS)
    vectors = bags(
        inputs, [x.ids for x in inputs.descriptions([description_text(x.name, x.description) for x in relations])]
    )
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    faiss.write_index(index, str(path / INDEX))
    manifest = Manifest(
        name="fake",
        created="2026-01-01T00:00:00Z",
        precision="fp32",
        dimension=DIMENSION,
        fingerprint=fingerprint(path / TOKENIZER, path / RECALL, LENGTHS),
        sentence_tokens=LENGTHS.sentence,
        description_tokens=LENGTHS.description,
        special_tokens={"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"},
        candidates=3,
        calibration=Calibration(threshold=0.5).to_json(),
        training={},
        scores={},
        files={name: FileRecord.of(path / name) for name in FILES},
    )
    write_manifest(path, manifest)
    return load_bundle(path)


def bags(inputs: InputBuilder, rows: Sequence[Sequence[int]]) -> Vectors:
    """Normed bags of content words, shape (rows, DIMENSION)."""
    vectors = np.zeros((len(rows), DIMENSION), dtype=np.float32)
    vectors[:, 0] = 0.1
    for row, ids in enumerate(rows):
        for number in content(inputs, ids):
            vectors[row, 1 + number % (DIMENSION - 1)] += 1
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def content(inputs: InputBuilder, ids: Sequence[int]) -> set[int]:
    """The ids that are words and not function words."""
    tokens = {number: inputs.tokenizer.id_to_token(number) for number in ids}
    return {number for number, token in tokens.items() if token in WORDS and token not in FUNCTION_WORDS}


class FakeRuntime:
    """Stands in for `models.runtime.Runtime`. Clear `go` to hold its model thread; `entered` says that it came."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.inputs = InputBuilder.from_file(bundle.path / TOKENIZER, LENGTHS)
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.fail_on: str | None = None

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        return self.inputs.instances(instances)

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        return self.inputs.descriptions([description_text(x.name, x.description) for x in relations])

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        self.entered.set()
        if not self.go.wait(timeout=60):
            raise TimeoutError("a test held the model and never let it go")
        self.batches.append(len(inputs))
        if self.fail_on is not None:
            wanted = self.inputs.tokenizer.token_to_id(self.fail_on)
            if any(wanted in x.ids for x in inputs):
                raise RuntimeError("the model broke")
        return bags(self.inputs, [x.ids for x in inputs])

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        return bags(self.inputs, [x.ids for x in inputs])

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        logits = np.full((len(lists), max(len(x.candidates) for x in lists)), -np.inf, dtype=np.float32)
        for row, each in enumerate(lists):
            read = content(self.inputs, each.instance.ids)
            shared = [len(read & content(self.inputs, x.ids)) for x in each.candidates]
            logits[row, : len(shared)] = [6.0 * count - 3.0 for count in shared]
        return logits
