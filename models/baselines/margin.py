"""The margin loss of the methods that were trained before contrastive losses became usual."""

from __future__ import annotations

import torch
from torch import Tensor


def margin_loss(scores: Tensor, gold: Tensor, wrong: Tensor, margin: float) -> Tensor:
    """max(0, γ − s_gold + max_{j wrong} s_j), the mean over the batch.

    An instance with no wrong relation to be told from costs nothing.

    Args:
        scores: (batch, relations).
        gold: column of each instance's relation (batch,).
        wrong: true where a relation is to be scored below gold's (batch, relations).
        margin: γ, in the unit of the scores.
    """
    right = scores.gather(1, gold.unsqueeze(1)).squeeze(1)
    hardest = scores.masked_fill(~wrong, -torch.inf).amax(dim=1)
    return (margin - right + hardest).relu().mean()
