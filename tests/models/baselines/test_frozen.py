from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from models.baselines.frozen import FrozenEncoder, sentence_vectors
from models.baselines.method import StagedMethod
from models.baselines.zs_bert import ZsBert
from models.chunks import Vectors
from models.job.recipe import Recipe

TEXTS = ["spouse", "place of birth: the town where a person was born", "a film ."]


@pytest.fixture(scope="module")
def method(tiny_recipe: Callable[..., Recipe]) -> StagedMethod:
    return ZsBert(tiny_recipe())


@pytest.fixture
def frozen(method: StagedMethod) -> FrozenEncoder:
    return FrozenEncoder(method)


def test_a_sentences_vector_is_the_mean_of_its_tokens_at_unit_norm() -> None:
    hidden, mask = torch.randn(2, 4, 8), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    means = torch.stack([hidden[0].mean(dim=0), hidden[1, :2].mean(dim=0)])
    torch.testing.assert_close(sentence_vectors(hidden, mask), means / means.norm(dim=1, keepdim=True))


def test_texts_have_unit_vectors_in_their_own_order(frozen: FrozenEncoder) -> None:
    together = frozen.vectors(TEXTS)
    assert together.shape == (3, frozen.width)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(FrozenEncoder(frozen.method).vectors([text])[0], together[row], atol=1e-5)


def test_a_text_is_read_once(frozen: FrozenEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = frozen.vectors([TEXTS[0], TEXTS[0], TEXTS[1]])

    def refuse(inputs: object) -> Vectors:
        raise AssertionError

    monkeypatch.setattr(frozen, "_read", refuse)
    assert np.array_equal(frozen.vectors([TEXTS[1], TEXTS[0]]), first[[2, 0]])


def test_nothing_of_it_can_be_trained(frozen: FrozenEncoder) -> None:
    parameters: Iterator[torch.nn.Parameter] = frozen.encoder.parameters()
    assert not any(parameter.requires_grad for parameter in parameters)
    assert not frozen.encoder.training
