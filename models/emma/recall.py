"""The recall tower: sentences and descriptions into one space (§2.2 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.emma.encoder import Encoder


class WeightPooling(nn.Module):
    """A virtual entity: an attention-weighted mean of a description's token states (Eq. 9–11).

    A = softmax(H w), d* = A H. Padding and special tokens get no weight, and there is no bias per position:
    with either, a description's vector would depend on how long its batch is.
    """

    def __init__(self, width: int) -> None:
        """Start from the plain mean: all weights zero."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor, content_mask: Tensor) -> Tensor:
        """H (batch, length, d) and its mask (batch, length) → d* (batch, d)."""
        scores = (hidden @ self.weight).float().masked_fill(content_mask == 0, torch.finfo(torch.float32).min)
        attention = scores.softmax(dim=-1).to(hidden.dtype)
        return (attention.unsqueeze(1) @ hidden).squeeze(1)


class RecallTower(nn.Module):
    """One encoder for both sides; vectors of 3·d with unit norm, so that a dot product is Eq. 12's sim.

    Without virtual entities, the paper's ablation, both sides are their [CLS] alone, and a vector has d numbers.
    """

    def __init__(self, encoder: Encoder, virtual_entities: bool = True) -> None:
        """Add the two pools to an encoder."""
        super().__init__()
        self.encoder = encoder
        self.parts = 3 if virtual_entities else 1
        self.head_pool = WeightPooling(encoder.width)
        self.tail_pool = WeightPooling(encoder.width)

    @property
    def dimension(self) -> int:
        """Length of a vector, 3·d or d."""
        return self.parts * self.encoder.width

    def instances(self, input_ids: Tensor, attention_mask: Tensor, marker_positions: Tensor) -> Tensor:
        """x^vec = h_[CLS] ⊕ h_[Eh] ⊕ h_[Et] (Eq. 1–3).

        (batch, length), (batch, length), (batch, 2) → (batch, 3·d), float32.
        """
        return self.instance_vectors(self.encoder(input_ids, attention_mask), marker_positions)

    def descriptions(self, input_ids: Tensor, attention_mask: Tensor, content_mask: Tensor) -> Tensor:
        """d^vec = h_[CLS] ⊕ pool_1(h_1…h_n) ⊕ pool_2(h_1…h_n) (Eq. 4–8).

        Three of (batch, length) → (batch, 3·d), float32.
        """
        return self.description_vectors(self.encoder(input_ids, attention_mask), content_mask)

    def description_vectors(self, hidden: Tensor, content_mask: Tensor) -> Tensor:
        """Eq. 5–8 over token states (batch, length, d) → (batch, 3·d), float32."""
        parts = (hidden[:, 0], self.head_pool(hidden, content_mask), self.tail_pool(hidden, content_mask))
        return normalize(torch.cat(parts[: self.parts], dim=-1).float(), dim=-1)

    def instance_vectors(self, hidden: Tensor, marker_positions: Tensor) -> Tensor:
        """Eq. 2–3 over token states (batch, length, d) and (batch, 2) → (batch, 3·d), float32."""
        return normalize(marker_states(hidden, marker_positions)[:, : self.dimension].float(), dim=-1)


def marker_states(hidden: Tensor, marker_positions: Tensor) -> Tensor:
    """h_[CLS] ⊕ h_[Eh] ⊕ h_[Et] (Eq. 2–3): (batch, length, d), (batch, 2) → (batch, 3·d)."""
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return torch.cat((hidden[:, 0], hidden[rows, marker_positions[:, 0]], hidden[rows, marker_positions[:, 1]]), dim=-1)
