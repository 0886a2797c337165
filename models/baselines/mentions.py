"""Where the two mentions stand among a marked sentence's tokens, and what is read off their states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.job.inference import tensors
from models.text import HEAD_END, TAIL_END, InputBuilder, InstanceInput


def marked_tensors(builder: InputBuilder, inputs: Sequence[InstanceInput], device: torch.device) -> dict[str, Tensor]:
    """One padded batch of marked sentences.

    Returns:
        `input_ids` and `attention_mask` (batch, length), `marker_positions` (batch, 2) of the start markers, and
        `mention_masks` (batch, 2, length), true on the tokens of head and tail, their markers left out.
    """
    arrays = builder.instance_arrays(inputs)
    del arrays["content_mask"]
    ends = [builder.tokenizer.token_to_id(marker) for marker in (HEAD_END, TAIL_END)]
    masks = mention_masks(inputs, arrays["input_ids"].shape[1], cast(list[int], ends))
    return tensors(arrays, device) | {"mention_masks": torch.from_numpy(masks).to(device)}


def mention_masks(inputs: Sequence[InstanceInput], length: int, ends: Sequence[int]) -> npt.NDArray[np.bool_]:
    """True between each mention's start marker and its end marker: (batch, 2, length), head before tail.

    Args:
        inputs: marked sentences.
        length: tokens of each row, padding included.
        ends: token ids of the two end markers.
    """
    masks = np.zeros((len(inputs), 2, length), dtype=np.bool_)
    for row, instance in enumerate(inputs):
        for mention, start in enumerate((instance.head, instance.tail)):
            masks[row, mention, start + 1 : instance.ids.index(ends[mention], start)] = True
    return masks


def max_pooled(hidden: Tensor, masks: Tensor) -> Tensor:
    """The largest of each component in a mention: (batch, length, d), (batch, 2, length) → (batch, 2, d)."""
    return hidden.unsqueeze(1).masked_fill(~masks.unsqueeze(-1), -torch.inf).amax(dim=2)


def summed(hidden: Tensor, masks: Tensor) -> Tensor:
    """The sum of a mention's token states: (batch, length, d), (batch, 2, length) → (batch, 2, d)."""
    return masks.to(hidden.dtype) @ hidden
