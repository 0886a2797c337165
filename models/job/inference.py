"""A module's numbers, outside of its training and in the middle of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from models.chunks import Vectors
from models.job.devices import autocast
from models.job.recipe import Recipe
from models.text import Arrays

ROWS_AT_ONCE = 64


def numbers(module: nn.Module, recipe: Recipe, device: torch.device, call: Callable[[], Tensor]) -> Vectors:
    """What a call gives in evaluation mode, without gradients and in the recipe's precision, as float32.

    Args:
        module: is put into evaluation mode and back into the mode that it was in.
        recipe: says whether to compute in bfloat16.
        device: where the module is.
        call: runs the module; a tensor of any shape.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode(), autocast(recipe, device):
            return call().float().cpu().numpy()
    finally:
        module.train(was_training)


def tensors(arrays: Arrays, device: torch.device) -> dict[str, Tensor]:
    """Model inputs as tensors on a device."""
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast: bfloat16 tells two cosines near 1 apart only if they differ by 0.004, a fifth of a logit at τ."""
    return torch.autocast(device.type, enabled=False)
