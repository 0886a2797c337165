from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from models.job.devices import autocast
from models.job.recipe import Recipe

Make = Callable[..., Recipe]


def test_full_precision_needs_no_autocast(tiny_recipe: Make) -> None:
    assert isinstance(autocast(tiny_recipe(precision="fp32"), torch.device("cpu")), nullcontext)


@pytest.mark.parametrize(("able", "kind"), [(True, torch.autocast), (False, nullcontext)])
def test_by_default_the_processor_decides_on_bfloat16(
    tiny_recipe: Make, monkeypatch: pytest.MonkeyPatch, able: bool, kind: type
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": able})
    assert isinstance(autocast(tiny_recipe(precision="auto"), torch.device("cpu")), kind)
