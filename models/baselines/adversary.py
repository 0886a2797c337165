"""A classifier that makes a feature useless for what it classifies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.job.inference import full_precision

REVERSAL = 0.5
"""λ, the factor of the reversed gradient, as in RE-Matching's published code."""


class Adversary(nn.Module):
    """Tells relations apart by a feature, through a reversed gradient.

    What makes the cross-entropy smaller in these layers makes it larger in those that the feature comes from, which
    so unlearn to tell of the relation (RE-Matching, "Contextual Relation Feature Distillation").
    """

    def __init__(self, width: int, relations: int) -> None:
        """A perceptron of two layers."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, relations))

    def forward(self, irrelevant: Tensor) -> Tensor:
        """(batch, d) → logits (batch, relations), float32."""
        with full_precision(irrelevant.device):
            logits: Tensor = self.layers(reversed_gradient(irrelevant))
            return logits


def reversed_gradient(features: Tensor) -> Tensor:
    """The same features, whose gradient is multiplied by −λ (Ganin & Lempitsky, ICML 2015, §3)."""
    same: Tensor = _Reversal.apply(features)  # type: ignore[no-untyped-call]
    return same


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -REVERSAL * gradient
