"""What the two models are trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def info_nce(instances: Tensor, descriptions: Tensor, gold: Tensor, also: Tensor, temperature: float) -> Tensor:
    """L_i = −log exp(sim(x_i, d_i)/τ) / Σ_j exp(sim(x_i, d_j)/τ), the mean over i (Eq. 12).

    The sum runs over the batch's *distinct* relations, so that no instance is pushed away from its own
    description because a neighbour in the batch shares its relation.

    Args:
        instances: unit vectors (batch, 3·d).
        descriptions: unit vectors of the distinct relations (relations, 3·d).
        gold: index of each instance's relation (batch,).
        also: true where a relation other than gold holds too, and must not count against it (batch, relations).
        temperature: τ.
    """
    similarities = instances @ descriptions.T / temperature
    return cross_entropy(similarities.masked_fill(also, -torch.inf), gold)


def candidate_loss(logits: Tensor, gold: Tensor) -> Tensor:
    """L_c = −log(exp(ŷ_+) / Σ_i exp(ŷ_i)), the mean over the batch (Eq. 15), with "none of these" among the i.

    Args:
        logits: (batch, k); "none of these" is appended as one more class whose logit is 0.
        gold: position of the relation among the candidates, k where none of them holds (batch,).
    """
    return cross_entropy(torch.cat((logits, logits.new_zeros(len(logits), 1)), dim=1), gold)


def closed_candidate_loss(logits: Tensor, gold: Tensor) -> Tensor:
    """Eq. 15 as published, without "none of these": (batch, k), (batch,) → ()."""
    return cross_entropy(logits, gold)
