"""A trained model on disk: safetensors, tokenizer, configuration, calibration; and the same in memory.

- `config.json`: the recipe, the encoder's architecture, the calibration, what it was trained on
- `tokenizer.json`: with the entity markers
- `recall.safetensors`: the recall tower
- `classifier.safetensors`: the classifier, unless only recall was trained
- `metrics.jsonl`: one line per epoch
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from models.candidates import CandidateList, Ids, States, lay_out, texts, without_absent
from models.chunks import Vectors, in_chunks
from models.decision import Calibration
from models.emma.classifier import PairClassifier
from models.emma.encoder import Encoder, Vocabulary, blank_encoder, load_encoder, load_vocabulary, save_vocabulary
from models.emma.reader import CandidateReader
from models.emma.recall import RecallTower
from models.job.devices import best_device
from models.job.inference import ROWS_AT_ONCE, numbers, tensors
from models.job.recipe import Recipe
from models.relation import Relation
from models.text import Arrays, DescriptionInput, InputBuilder, Instance, InstanceInput, Lengths, description_text

CONFIG, TOKENIZER, RECALL, CLASSIFIER = "config.json", "tokenizer.json", "recall.safetensors", "classifier.safetensors"
METRICS = "metrics.jsonl"


class CheckpointError(Exception):
    """A checkpoint directory that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """The two models with all that is needed to run them. Has the methods of `models.runtime.Runtime`."""

    recipe: Recipe
    vocabulary: Vocabulary
    inputs: InputBuilder
    recall: RecallTower
    classifier: PairClassifier | CandidateReader | None
    calibration: Calibration
    training: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return next(self.recall.parameters()).device

    def calibrated(self, calibration: Calibration) -> Checkpoint:
        """The same models, decided upon by other numbers."""
        return replace(self, calibration=calibration)

    def exact(self) -> Checkpoint:
        """The same models, computing in full precision."""
        return replace(self, recipe=self.recipe.model_copy(update={"precision": "fp32"}))

    def prepare(self, instances: Sequence[Instance]) -> list[InstanceInput]:
        """Tokenize instances."""
        return self.inputs.instances(instances)

    def describe(self, relations: Sequence[Relation]) -> list[DescriptionInput]:
        """Tokenize relations' principal descriptions."""
        return self.inputs.descriptions([description_text(x.name, x.description) for x in relations])

    def encode_instances(self, inputs: Sequence[InstanceInput]) -> Vectors:
        """x^vec of Eq. 3 with unit norm, shape (instances, 3·d)."""

        def call(rows: list[InstanceInput]) -> Vectors:
            tensors = self.tensors(self.inputs.instance_arrays(rows))
            tensors.pop("content_mask")
            return numbers(self.recall, self.recipe, self.device, lambda: self.recall.instances(**tensors))

        return in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def encode_descriptions(self, inputs: Sequence[DescriptionInput]) -> Vectors:
        """d^vec of Eq. 8 with unit norm, shape (descriptions, 3·d)."""

        def call(rows: list[DescriptionInput]) -> Vectors:
            tensors = self.tensors(self.inputs.description_arrays(rows))
            tensors.pop("marker_positions")
            return numbers(self.recall, self.recipe, self.device, lambda: self.recall.descriptions(**tensors))

        return in_chunks(inputs, lambda x: len(x.ids), ROWS_AT_ONCE, call)

    def classify(self, lists: Sequence[CandidateList]) -> Vectors:
        """Logit of each candidate against "none of these" (lists, k), -inf where a list has fewer than k.

        Raises:
            CheckpointError: only recall was trained, or the paper's head was trained for another k.
        """
        classifier = self.classifier
        if classifier is None:
            raise CheckpointError("this checkpoint has no classifier: train one with --training separate or joint")
        k = max((len(x.candidates) for x in lists), default=0)
        if isinstance(classifier, CandidateReader):
            return in_chunks(lists, lambda x: x.length, ROWS_AT_ONCE, lambda rows: self._read(classifier, rows, k))
        return self._read_pairs(classifier, lists, k)

    def layout(self, lists: Sequence[CandidateList]) -> dict[str, torch.Tensor]:
        """What the candidate reader takes of lists: no gradient flows through it, for it comes from recall."""
        layout = lay_out(
            lists, self._states(texts(part for x in lists for part in x.parts)), self.inputs.pad_to_multiple_of
        )
        return {name: torch.from_numpy(array).to(self.device) for name, array in layout.arrays().items()}

    def _read(self, reader: CandidateReader, lists: list[CandidateList], k: int) -> Vectors:
        tensors = self.layout(lists)
        return without_absent(numbers(reader, self.recipe, self.device, lambda: reader(**tensors)), lists, k)

    def _states(self, wanted: Sequence[Ids]) -> dict[Ids, States]:
        encoder = self.recall.encoder
        shared = len(encoder.layers) - self.recipe.classifier_layers
        found: dict[Ids, States] = {}
        order = sorted(wanted, key=len)
        for start in range(0, len(order), ROWS_AT_ONCE):
            rows = order[start : start + ROWS_AT_ONCE]
            batch = self.tensors(self.inputs.plain_arrays(rows))
            states = numbers(encoder, self.recipe, self.device, partial(_lower, encoder, batch, shared))
            found.update((row, state[: len(row)]) for row, state in zip(rows, states, strict=True))
        return found

    def _read_pairs(self, classifier: PairClassifier, lists: Sequence[CandidateList], k: int) -> Vectors:
        if self.recipe.reading == "published" and {len(x.candidates) for x in lists} != {self.recipe.candidates}:
            raise CheckpointError(
                f"this checkpoint's head reads exactly {self.recipe.candidates} candidates, got {k}: "
                f"give --k {self.recipe.candidates} and at least as many relations"
            )

        def call(rows: list[CandidateList]) -> Vectors:
            # All at once, as the paper's head needs them; where a list has fewer, its first stands in.
            pairs = [(x.instance, y) for x in rows for y in x.candidates + x.candidates[:1] * (k - len(x.candidates))]
            batch = self.tensors(self.inputs.pair_arrays(pairs))
            logits = numbers(classifier, self.recipe, self.device, lambda: classifier(**batch, candidates=k))
            return without_absent(logits, rows, k)

        return in_chunks(lists, lambda x: len(x.instance.ids), max(1, ROWS_AT_ONCE // k), call)

    def tensors(self, arrays: Arrays) -> dict[str, torch.Tensor]:
        """Model inputs as tensors where the models are."""
        return tensors(arrays, self.device)

    def save(self, path: Path) -> None:
        """Write everything but the metrics; the configuration comes last."""
        path.mkdir(parents=True, exist_ok=True)
        save_vocabulary(self.vocabulary, path / TOKENIZER)
        save_file(self.recall.state_dict(), path / RECALL)
        if self.classifier is not None:
            save_file(self.classifier.state_dict(), path / CLASSIFIER)
        config = {
            "format": 1,
            "recipe": self.recipe.model_dump(),
            "special_tokens": self.vocabulary.special,
            "encoder": self.recall.encoder.config,
            "calibration": self.calibration.to_json(),
            "training": self.training,
        }
        (path / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def new_checkpoint(recipe: Recipe) -> Checkpoint:
    """Untrained models on a pre-trained encoder.

    Raises:
        models.emma.encoder.EncoderError: the encoder cannot be loaded.
        CheckpointError: its position table is too short for the recipe's lengths.
    """
    torch.manual_seed(recipe.seed)
    vocabulary = load_vocabulary(recipe.encoder)
    size = vocabulary.tokenizer.get_vocab_size(with_added_tokens=True)
    recall = RecallTower(load_encoder(recipe.encoder, size, recipe.attention_dropout), recipe.virtual_entities)
    classifier = None
    if recipe.training != "recall":
        classifier = _classifier(load_encoder(recipe.encoder, size, recipe.attention_dropout), recipe)
    longest = recipe.sentence_tokens + recipe.description_tokens
    if longest > recall.encoder.positions:
        raise CheckpointError(
            f"sentence_tokens + description_tokens = {longest}, but {recipe.encoder} reads at most "
            f"{recall.encoder.positions} tokens: lower one of them"
        )
    calibration = Calibration(recall_weight=1 / recipe.temperature)
    return _assembled(recipe, vocabulary, recall, classifier, calibration, {})


def load_checkpoint(path: Path, device: str | None = None) -> Checkpoint:
    """Read what `Checkpoint.save` wrote.

    Raises:
        CheckpointError: the directory or a file is missing or is not a checkpoint's.
    """
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(config["recipe"])
        vocabulary = Vocabulary(Tokenizer.from_file(str(path / TOKENIZER)), config["special_tokens"])
        recall = RecallTower(blank_encoder(config["encoder"]), recipe.virtual_entities)
        recall.load_state_dict(load_file(path / RECALL))
        classifier = None
        if (path / CLASSIFIER).is_file():
            classifier = _classifier(blank_encoder(config["encoder"]), recipe)
            classifier.load_state_dict(load_file(path / CLASSIFIER))
        calibration = Calibration.from_json(config["calibration"])
        checkpoint = _assembled(recipe, vocabulary, recall, classifier, calibration, config["training"])
    # Whatever is wrong with the files: tokenizers raises nothing more special than this.
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint made by `emma train`: {error}") from error
    for module in (checkpoint.recall, checkpoint.classifier):
        if module is not None:
            module.to(device or best_device()).eval()
    return checkpoint


def _lower(encoder: Encoder, batch: dict[str, torch.Tensor], count: int) -> torch.Tensor:
    return encoder.lower(batch["input_ids"], batch["attention_mask"], count)


def _classifier(encoder: Encoder, recipe: Recipe) -> PairClassifier | CandidateReader:
    if recipe.reading == "once":
        encoder.check_layers()
        return CandidateReader(encoder, recipe.classifier_layers)
    return PairClassifier(encoder, "shared" if recipe.reading == "pairs" else "concatenated", recipe.candidates)


def _assembled(
    recipe: Recipe,
    vocabulary: Vocabulary,
    recall: RecallTower,
    classifier: PairClassifier | CandidateReader | None,
    calibration: Calibration,
    training: dict[str, Any],
) -> Checkpoint:
    lengths = Lengths(recipe.sentence_tokens, recipe.description_tokens)
    # oneDNN compiles for each new shape, which costs more than the padding.
    inputs = InputBuilder(vocabulary.tokenizer, lengths, vocabulary.special, pad_to_multiple_of=8)
    return Checkpoint(recipe, vocabulary, inputs, recall, classifier, calibration, training)
