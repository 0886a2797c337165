"""A model small enough to be trained within the tests, and what is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.job.checkpoint import Checkpoint
    from models.job.dataset import Example, TrainingData
    from models.job.recipe import Recipe
    from models.relation import Relation

# Both are read when the libraries are imported: no test may ask a hub for anything, and more threads than one
# make the small model slower.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of the small instance, relation and split files."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def tiny_relations(test_data: Path) -> dict[str, Relation]:
    from models.relation import read_relations

    return read_relations(test_data / "relations.jsonl")


@pytest.fixture(scope="session")
def tiny_examples(test_data: Path) -> list[Example]:
    from models.job.dataset import read_examples

    return read_examples(test_data / "instances.jsonl")[0]


@pytest.fixture(scope="session")
def tiny_encoder(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained BERT with the words of the test data."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words: dict[str, None] = dict.fromkeys([*special, *characters, *(f"##{x}" for x in characters if x.isalnum())])
    for file in ("relations.jsonl", "instances.jsonl"):
        for line in (test_data / file).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts = row.get("tokens") or [row["name"], row["description"], *row["paraphrases"]]
            for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(" ".join(texts))):
                words[word] = None
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    named = dict(zip(names, special, strict=True))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        # The usual 0.02 makes so small a model see all sentences as one.
        initializer_range=0.1,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_recipe(tiny_encoder: Path) -> Callable[..., Recipe]:
    """A recipe of a few seconds; keyword arguments replace its fields."""
    from models.job.recipe import Recipe

    settings = {
        "encoder": str(tiny_encoder),
        "precision": "fp32",
        "sentence_tokens": 64,
        "description_tokens": 48,
        "valid_fraction": 0.3,
        "recall_epochs": 8,
        "recall_batch": 16,
        "recall_learning_rate": 4e-3,
        "temperature": 0.1,
        "classifier_epochs": 2,
        "classifier_instances": 64,
        "classifier_batch": 16,
        "classifier_learning_rate": 2e-3,
        "classifier_layers": 1,
        "warmup_steps": 2,
        "save_every": 3,
    }
    return lambda **changes: Recipe.model_validate(settings | changes)


@pytest.fixture(scope="session")
def tiny_training(test_data: Path, tiny_relations: dict[str, Relation]) -> Callable[..., TrainingData]:
    """Training data of the test files, for a recipe."""
    from models.job.dataset import Split, read_examples, training_data

    def make(recipe: Recipe, split: Split | None = None) -> TrainingData:
        examples, _ = read_examples(test_data / "instances.jsonl", per_relation=recipe.per_relation, seed=recipe.seed)
        return training_data(
            [examples], tiny_relations, split=split, valid_fraction=recipe.valid_fraction, seed=recipe.seed
        )

    return make


@pytest.fixture(scope="session")
def tiny_checkpoint_dir(
    tiny_recipe: Callable[..., Recipe],
    tiny_training: Callable[..., TrainingData],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What a short training run, never interrupted, wrote."""
    from tests.models.support import train_quietly

    folder = tmp_path_factory.mktemp("checkpoint")
    recipe = tiny_recipe()
    train_quietly(recipe, tiny_training(recipe), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_checkpoint_dir: Path) -> Checkpoint:
    from models.job.checkpoint import load_checkpoint

    return load_checkpoint(tiny_checkpoint_dir, "cpu")


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_checkpoint: Checkpoint,
    tiny_examples: list[Example],
    tiny_relations: dict[str, Relation],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """The checkpoint's full-precision graphs with the test relations as their catalogue."""
    from models.job.build import export, index

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    export(
        tiny_checkpoint,
        folder,
        precision="fp32",
        name="tiny",
        instances=[x.instance for x in tiny_examples[::4]],
        relations=list(tiny_relations.values()),
        say=lambda line: None,
    )
    return index(folder, list(tiny_relations.values()))
