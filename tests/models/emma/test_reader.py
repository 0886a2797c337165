from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.emma.classifier import OFFSET, SCALE
from models.emma.encoder import Encoder, EncoderError, load_encoder, load_vocabulary
from models.emma.reader import CandidateReader
from models.emma.recall import RecallTower
from tests.models.support import flat

WIDTH = 32
DRAW = torch.Generator().manual_seed(1)
SENTENCE, *CANDIDATES = (torch.randn(length, WIDTH, generator=DRAW) for length in (6, 4, 2, 7))


@dataclass
class Batch:
    """States of one sentence and some candidates, as the reader takes them."""

    states: Tensor
    segments: Tensor
    starts: Tensor

    def through(self, reader: CandidateReader, marker_positions: tuple[int, int] = (1, 4)) -> Tensor:
        positions = torch.tensor([marker_positions]).expand(len(self.states), -1)
        logits: Tensor = reader(self.states, self.segments, positions, self.starts)
        return logits


def laid_out(candidates: list[Tensor], padding: int = 0) -> Batch:
    """The sentence, candidates and some padding, which holds numbers that would be noticed."""
    parts = [SENTENCE, *candidates]
    segments = [number for number, part in enumerate(parts) for _ in part] + [-1] * padding
    starts = [sum(map(len, parts[: number + 1])) for number in range(len(candidates))]
    states = torch.cat([*parts, torch.full((padding, WIDTH), 7.0)])
    return Batch(states[None], torch.tensor([segments]), torch.tensor([starts]))


def fresh(tiny_encoder: Path, layers: int = 1) -> CandidateReader:
    return CandidateReader(encoder(tiny_encoder), layers).eval()


def encoder(tiny_encoder: Path) -> Encoder:
    torch.manual_seed(2)
    size = load_vocabulary(str(tiny_encoder)).tokenizer.get_vocab_size()
    return load_encoder(str(tiny_encoder), size, 0.0)


@pytest.fixture
def reader(tiny_encoder: Path) -> CandidateReader:
    """A reader that has learnt something."""
    found = fresh(tiny_encoder)
    torch.manual_seed(4)
    for weight in found.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return found


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.fixture
def alone(reader: CandidateReader) -> Tensor:
    """Each candidate's logit when it is the only one."""
    return torch.cat([laid_out([x]).through(reader) for x in CANDIDATES], dim=1)


def test_there_is_one_logit_for_each_candidate(reader: CandidateReader) -> None:
    assert laid_out(CANDIDATES).through(reader).shape == (1, 3)


def test_different_candidates_have_different_logits(alone: Tensor) -> None:
    assert not torch.isclose(alone[0], alone[0].roll(1), atol=1e-2).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_candidates_logit_does_not_depend_on_the_others(reader: CandidateReader, alone: Tensor, count: int) -> None:
    assert_close(laid_out(CANDIDATES[:count]).through(reader), alone[:, :count])


def test_a_candidates_logit_does_not_depend_on_their_order(reader: CandidateReader, alone: Tensor) -> None:
    assert_close(laid_out(CANDIDATES[::-1]).through(reader), alone.flip(1))


def test_a_candidates_logit_does_not_depend_on_what_another_one_says(reader: CandidateReader, alone: Tensor) -> None:
    found = laid_out([CANDIDATES[0], 100 * CANDIDATES[1], CANDIDATES[2]]).through(reader)
    assert_close(found[:, ::2], alone[:, ::2])


@pytest.mark.parametrize("padding", [1, 5, 40])
def test_a_candidates_logit_does_not_depend_on_padding(reader: CandidateReader, alone: Tensor, padding: int) -> None:
    assert_close(laid_out(CANDIDATES, padding).through(reader), alone)


def test_a_lists_logits_do_not_depend_on_the_rest_of_the_batch(reader: CandidateReader, alone: Tensor) -> None:
    short, long = laid_out(CANDIDATES[:1], padding=9), laid_out(CANDIDATES)
    # A candidate that is not there starts at 0.
    starts = torch.nn.functional.pad(short.starts, (0, 2))
    states, segments = (torch.cat(x) for x in ((short.states, long.states), (short.segments, long.segments)))
    found = Batch(states, segments, torch.cat([starts, long.starts])).through(reader)
    assert_close(found[0, :1], alone[0, :1])
    assert_close(found[1:], alone)


def test_a_candidate_that_is_not_there_has_a_finite_logit(reader: CandidateReader) -> None:
    batch = laid_out(CANDIDATES[:1])
    batch.starts = torch.tensor([[6, 0, 0]])
    # An infinite one would turn a gradient into no number, although nothing is made of it.
    assert batch.through(reader).isfinite().all()


@pytest.mark.parametrize("place", range(6))
def test_every_token_of_the_sentence_is_read(reader: CandidateReader, alone: Tensor, place: int) -> None:
    batch = laid_out(CANDIDATES)
    batch.states[:, place] += torch.randn(WIDTH)
    assert not torch.isclose(batch.through(reader), alone, atol=1e-4).any()


@pytest.mark.parametrize("place", range(4))
def test_every_token_of_a_description_is_read(reader: CandidateReader, alone: Tensor, place: int) -> None:
    batch = laid_out(CANDIDATES)
    batch.states[:, 6 + place] += torch.randn(WIDTH)
    assert not torch.isclose(batch.through(reader), alone, atol=1e-4)[0, 0]


def test_a_logit_depends_on_where_the_mentions_are(reader: CandidateReader, alone: Tensor) -> None:
    assert not torch.isclose(laid_out(CANDIDATES).through(reader, (4, 1)), alone, atol=1e-2).any()


def test_the_sentence_does_not_bend_towards_what_is_asked_of_it(reader: CandidateReader) -> None:
    seen: list[Tensor] = []
    reader.layers[-1].register_forward_hook(lambda module, inputs, output: seen.append(output[:, : len(SENTENCE)]))
    laid_out(CANDIDATES[:1]).through(reader)
    laid_out(CANDIDATES[1:]).through(reader)
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=0)


def test_a_description_is_read_in_the_light_of_the_sentence(reader: CandidateReader) -> None:
    seen: list[Tensor] = []
    reader.layers[-1].register_forward_hook(lambda module, inputs, output: seen.append(output[:, len(SENTENCE) :]))
    batch = laid_out(CANDIDATES)
    batch.through(reader)
    batch.states[:, : len(SENTENCE)] += torch.randn(len(SENTENCE), WIDTH)
    batch.through(reader)
    assert not torch.isclose(seen[0], seen[1], atol=1e-4).all(dim=-1).any()


def test_a_sentence_and_a_description_are_told_apart_by_kind(reader: CandidateReader, alone: Tensor) -> None:
    reader.kinds.data = 3 * reader.kinds.data.flip(0)
    assert not torch.isclose(laid_out(CANDIDATES).through(reader), alone, atol=1e-2).any()


def test_a_reader_starts_as_a_cosine_of_mentions_and_what_a_description_says(tiny_encoder: Path) -> None:
    reader, batch = fresh(tiny_encoder), laid_out(CANDIDATES[:1])
    seen: list[Tensor] = []
    reader.layers[-1].register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    found = batch.through(reader)
    [hidden] = seen
    # [CLS], the description's first token, is not part of what it says.
    mean = hidden[7:10].mean(dim=0)
    cosine = torch.nn.functional.cosine_similarity(hidden[[1, 4]].flatten(), torch.cat((mean, mean)), dim=0)
    torch.testing.assert_close(found[0, 0], SCALE * cosine - OFFSET)


@pytest.mark.parametrize("name", ["head_pool", "tail_pool"])
def test_each_virtual_entity_is_a_mean_by_weights_of_its_own(reader: CandidateReader, alone: Tensor, name: str) -> None:
    reader.head.get_parameter(f"{name}.weight").data += torch.randn(WIDTH)
    # The second candidate says one token only, which has all the weight.
    assert torch.isclose(laid_out(CANDIDATES).through(reader), alone, atol=1e-3).tolist() == [[False, True, False]]


def test_the_perceptron_reads_a_candidates_own_cls(reader: CandidateReader) -> None:
    seen: list[Tensor] = []
    hidden: list[Tensor] = []
    reader.layers[-1].register_forward_hook(lambda module, inputs, output: hidden.append(output[0]))
    reader.head.layers.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][0]))
    laid_out(CANDIDATES).through(reader)
    # [CLS] of the candidates, behind 6, 10 and 12 tokens, then [Eh] and [Et].
    expected = torch.cat([hidden[0][[6, 10, 12]], hidden[0][[1, 4]].flatten().expand(3, -1)], dim=1)
    assert torch.equal(seen[0], expected)


def test_logits_are_in_full_precision_even_if_the_weights_are_not(tiny_encoder: Path) -> None:
    batch = laid_out(CANDIDATES)
    batch.states = batch.states.bfloat16()
    assert batch.through(fresh(tiny_encoder).bfloat16()).dtype == torch.float32


def test_every_weight_learns(reader: CandidateReader) -> None:
    laid_out(CANDIDATES).through(reader).square().sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, x in reader.named_parameters() if x.grad is None or not x.grad.any()] == []


def test_a_reader_keeps_only_its_own_layers(tiny_encoder: Path) -> None:
    whole = encoder(tiny_encoder)
    found = CandidateReader(whole, 1)
    assert torch.equal(flat(found.layers), flat(whole.layers[1:]))
    assert not [name for name, _ in found.named_parameters() if "embeddings" in name]


def test_a_reader_starts_from_recalls_upper_layers_and_virtual_entities(tiny_encoder: Path) -> None:
    found, recall = fresh(tiny_encoder), RecallTower(encoder(tiny_encoder))
    for weight in recall.parameters():
        weight.data += torch.randn_like(weight)
    found.start_from(recall)
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (found.layers, recall.encoder.layers[1:]),
        (found.head.head_pool, recall.head_pool),
        (found.head.tail_pool, recall.tail_pool),
    ]
    assert all(torch.equal(flat(mine), flat(other)) for mine, other in pairs)


def test_a_reader_that_started_from_recall_leaves_it_alone(tiny_encoder: Path) -> None:
    found, recall = fresh(tiny_encoder), RecallTower(encoder(tiny_encoder))
    found.start_from(recall)
    before = flat(recall)
    for weight in found.parameters():
        weight.data += 1
    assert torch.equal(flat(recall), before)


@pytest.mark.parametrize("layers", [2, 3])
def test_a_reader_that_leaves_recall_no_layer_is_refused_with_the_flag(tiny_encoder: Path, layers: int) -> None:
    with pytest.raises(
        EncoderError, match=rf"{layers} upper layers leave none of the encoder's 2 .*--classifier-layers"
    ):
        fresh(tiny_encoder, layers)
