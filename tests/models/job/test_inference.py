from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.job.inference import full_precision, numbers, tensors
from models.job.recipe import Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_asked_in_evaluation_mode_and_put_back(tiny_recipe: Callable[..., Recipe], training: bool) -> None:
    module = nn.Dropout(0.5).train(training)
    asked = numbers(module, tiny_recipe(), CPU, lambda: module(torch.ones(100)))
    assert (asked == 1).all()
    assert module.training is training


def test_a_module_is_put_back_even_if_the_call_fails(tiny_recipe: Callable[..., Recipe]) -> None:
    module = nn.Dropout(0.5)

    def fail() -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        numbers(module, tiny_recipe(), CPU, fail)
    assert module.training


def test_numbers_are_float32_whatever_they_were_computed_in(tiny_recipe: Callable[..., Recipe]) -> None:
    module = nn.Linear(4, 3)
    seen: list[Tensor] = []

    def call() -> Tensor:
        seen.append(module(torch.ones(2, 4)))
        return seen[0]

    assert numbers(module, tiny_recipe(precision="bf16"), CPU, call).dtype == np.float32
    assert seen[0].dtype == torch.bfloat16
    assert not seen[0].requires_grad


def test_full_precision_holds_within_autocast() -> None:
    module = nn.Linear(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(torch.ones(2, 4)).dtype == torch.bfloat16
        with full_precision(CPU):
            assert module(torch.ones(2, 4)).dtype == torch.float32


def test_arrays_become_tensors_of_the_same_names_and_numbers() -> None:
    found = tensors({"input_ids": np.array([[1, 2]]), "mask": np.array([[1, 0]])}, CPU)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"input_ids": [[1, 2]], "mask": [[1, 0]]}
