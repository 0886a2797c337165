from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from models.emma.encoder import (
    Encoder,
    EncoderError,
    blank_encoder,
    load_encoder,
    load_vocabulary,
    save_vocabulary,
    through,
)
from models.text import MARKERS


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Encoder:
    size = load_vocabulary(str(tiny_encoder)).tokenizer.get_vocab_size()
    return load_encoder(str(tiny_encoder), size, 0.0).eval()


IDS, MASK = torch.tensor([[2, 10, 11, 3, 0]]), torch.tensor([[1, 1, 1, 1, 0]])


def test_the_vocabulary_has_the_markers_behind_the_words(tiny_encoder: Path) -> None:
    before = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")).get_vocab_size()
    found = load_vocabulary(str(tiny_encoder)).tokenizer
    assert [found.token_to_id(marker) for marker in MARKERS] == list(range(before, before + 4))


def test_the_vocabulary_names_its_special_tokens(tiny_encoder: Path) -> None:
    assert load_vocabulary(str(tiny_encoder)).special == {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"}


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no tokenizer at '.*absent'"):
        load_vocabulary(str(tmp_path / "absent"))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer_is_named(tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (folder / name).write_text("nonsense", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"no tokenizer at '.*encoder'"):
        load_vocabulary(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_broken_encoder_is_named(tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (folder / name).write_text("nonsense", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"no encoder at '.*encoder'"):
        load_encoder(str(folder), 10, 0.0)


def test_a_missing_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no encoder at '.*absent'"):
        load_encoder(str(tmp_path / "absent"), 10, 0.0)


def test_a_tokenizer_without_a_needed_special_token_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    del settings["cls_token"]
    file.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(EncoderError, match="not of the BERT family: it lacks cls"):
        load_vocabulary(str(folder))


def test_the_token_table_grows_by_the_markers(tiny_encoder: Path, encoder: Encoder) -> None:
    words = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")).get_vocab_size()
    assert encoder.model.get_input_embeddings().weight.shape == (words + 4, 32)


def test_growing_keeps_what_the_table_had(tiny_encoder: Path, encoder: Encoder) -> None:
    small = load_encoder(str(tiny_encoder), 0, 0.0)
    name = "model.embeddings.word_embeddings.weight"
    before, after = (x.state_dict()[name] for x in (small, encoder))
    assert torch.equal(before, after[: len(before)])


def test_width_and_positions_are_those_of_the_architecture(encoder: Encoder) -> None:
    assert (encoder.width, encoder.positions) == (32, 256)


def test_the_states_have_one_row_for_each_token(encoder: Encoder) -> None:
    assert encoder(IDS, MASK).shape == (1, 5, 32)


def test_without_types_all_tokens_are_of_the_first(encoder: Encoder) -> None:
    assert torch.equal(encoder(IDS, MASK), encoder(IDS, MASK, torch.zeros_like(IDS)))


def test_the_types_of_tokens_matter(encoder: Encoder) -> None:
    assert not torch.allclose(encoder(IDS, MASK), encoder(IDS, MASK, torch.ones_like(IDS)))


def test_padding_does_not_change_the_states_before_it(encoder: Encoder) -> None:
    short, long = encoder(IDS[:, :4], MASK[:, :4]), encoder(IDS, MASK)
    torch.testing.assert_close(long[:, :4], short)


def test_the_layers_are_those_of_the_architecture(encoder: Encoder) -> None:
    assert len(encoder.layers) == 2


def test_after_all_layers_the_lower_states_are_the_last(encoder: Encoder) -> None:
    torch.testing.assert_close(encoder.lower(IDS, MASK, 2)[:, :4], encoder(IDS, MASK)[:, :4])


def test_after_no_layer_the_lower_states_are_the_embeddings(encoder: Encoder) -> None:
    assert torch.equal(encoder.lower(IDS, MASK, 0), encoder.model.get_submodule("embeddings")(IDS))


def test_the_upper_layers_go_on_from_the_lower_states(encoder: Encoder) -> None:
    lower = encoder.lower(IDS, MASK, 1)
    found = through(encoder.layers[1:], lower, MASK[:, None, None, :] > 0)
    assert not torch.allclose(lower, found)
    torch.testing.assert_close(found[:, :4], encoder(IDS, MASK)[:, :4])


def test_padding_does_not_change_the_lower_states_before_it(encoder: Encoder) -> None:
    short, long = encoder.lower(IDS[:, :4], MASK[:, :4], 2), encoder.lower(IDS, MASK, 2)
    torch.testing.assert_close(long[:, :4], short)


def test_a_token_does_not_attend_to_what_it_may_not_see(encoder: Encoder) -> None:
    sees = torch.eye(5, dtype=torch.bool)[None, None]
    hidden = torch.randn(1, 5, 32)
    changed = hidden.clone()
    changed[:, 1:] += 1
    first, again = (through(encoder.layers, x, sees) for x in (hidden, changed))
    torch.testing.assert_close(again[:, 0], first[:, 0])
    assert not torch.isclose(again[:, 1:], first[:, 1:]).all(dim=-1).any()


SMALL = {
    "vocab_size": 20,
    "hidden_size": 8,
    "embedding_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": 0,
}


@pytest.mark.parametrize("kind", ["roberta", "electra"])
def test_lower_states_are_those_of_other_encoders_of_the_family_too(kind: str) -> None:
    found = blank_encoder(SMALL | {"model_type": kind}).eval()
    torch.testing.assert_close(found.lower(IDS, MASK, 2)[:, :4], found(IDS, MASK)[:, :4])


def test_an_encoder_that_cannot_be_cut_is_named() -> None:
    other = blank_encoder({"model_type": "distilbert", "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16})
    with pytest.raises(EncoderError, match="of type 'distilbert' cannot be cut between its layers"):
        _ = other.layers


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_layers_that_compute_what_the_encoder_does_are_let_pass_in_any_mode(kind: str) -> None:
    other = blank_encoder(SMALL | {"model_type": kind}).train()
    other.check_layers()
    assert other.training


# The layers of the first take more than states; the second has a norm behind its last layer.
@pytest.mark.parametrize("kind", ["mpnet", "roberta-prelayernorm"])
def test_layers_that_do_not_are_refused_before_anything_is_trained(kind: str) -> None:
    with pytest.raises(EncoderError, match=f"of type '{kind}' cannot be cut .* train with --reading pairs"):
        blank_encoder(SMALL | {"model_type": kind}).check_layers()


def test_the_pooling_head_is_dropped(encoder: Encoder) -> None:
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]


def test_a_blank_encoder_of_the_same_configuration_takes_the_weights(encoder: Encoder) -> None:
    other = blank_encoder(json.loads(json.dumps(encoder.config))).eval()
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(IDS, MASK), encoder(IDS, MASK))


def test_the_configuration_does_not_tell_where_the_encoder_lay(encoder: Encoder, tiny_encoder: Path) -> None:
    assert str(tiny_encoder) not in json.dumps(encoder.config)


def test_attention_dropout_is_what_was_asked_for(tiny_encoder: Path) -> None:
    assert load_encoder(str(tiny_encoder), 0, 0.25).model.config.attention_probs_dropout_prob == 0.25


def test_a_saved_vocabulary_has_no_truncation_and_no_padding(tiny_encoder: Path, tmp_path: Path) -> None:
    vocabulary = load_vocabulary(str(tiny_encoder))
    vocabulary.tokenizer.enable_truncation(3)
    vocabulary.tokenizer.enable_padding(length=40)
    save_vocabulary(vocabulary, tmp_path / "tokenizer.json")
    found = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert (found.truncation, found.padding) == (None, None)
    assert found.token_to_id("[Eh]") is not None
