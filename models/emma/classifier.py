"""The classifier: reads each sentence together with each candidate's description (§2.3 of the paper)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from models.emma.encoder import Encoder
from models.emma.recall import RecallTower, WeightPooling, marker_states

HeadKind = Literal["shared", "concatenated"]

SCALE, OFFSET = 20.0, 10.0
"""Of the similarity before training: logits of the size that the loss expects, near 0 for a middling cosine."""


class MatchingHead(nn.Module):
    """One logit for each candidate with shared weights, so that k and the order of candidates are free.

    The logit is the log-odds of the candidate against "none of these", whose own logit is 0:

        ŷ = s · sim(h_[Eh] ⊕ h_[Et], d^h ⊕ d^t) − b + MLP(h_[CLS] ⊕ h_[Eh] ⊕ h_[Et]).

    d^h and d^t are virtual entities (Eq. 6–7) over the description's states as they are read with the sentence. What
    recall compares from two readings is compared here from one; the perceptron starts at 0, so that training begins
    with a model that can tell candidates apart, and has to learn only what the joint reading adds.
    """

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        """Add pools, scale, offset and perceptron for states of `width` numbers."""
        super().__init__()
        self.head_pool = WeightPooling(width)
        self.tail_pool = WeightPooling(width)
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self.offset = nn.Parameter(torch.tensor(OFFSET))
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(3 * width, width), nn.GELU(), nn.Dropout(dropout), last
        )

    def logits(self, first: Tensor, markers: Tensor, entities: Tensor) -> Tensor:
        """h_[CLS] (…, d), h_[Eh] ⊕ h_[Et] (…, 2·d) and d^h ⊕ d^t (…, 2·d) → (…), float32."""
        cosines = cosine_similarity(markers.float(), entities.float(), dim=-1)
        read: Tensor = self.layers(torch.cat((first, markers), dim=-1))
        logits: Tensor = self.scale * cosines - self.offset + read[..., 0].float()
        return logits

    def start_from(self, recall: RecallTower) -> None:
        """Take the virtual entities that recall has learnt."""
        self.head_pool.load_state_dict(recall.head_pool.state_dict())
        self.tail_pool.load_state_dict(recall.tail_pool.state_dict())


class SharedHead(MatchingHead):
    """The matching head over pairs, each of which was read by itself."""

    def forward(self, hidden: Tensor, marker_positions: Tensor, description_mask: Tensor, candidates: int) -> Tensor:
        """(batch · candidates, length, d), (batch · candidates, 2) and a mask → (batch, candidates), float32."""
        states = marker_states(hidden, marker_positions)
        pools = (self.head_pool(hidden, description_mask), self.tail_pool(hidden, description_mask))
        width = hidden.shape[-1]
        return self.logits(states[:, :width], states[:, width:], torch.cat(pools, dim=-1)).reshape(-1, candidates)


class ConcatenatedHead(nn.Module):
    """The paper's head: an MLP over O_1 ⊕ … ⊕ O_k (Eq. 14).

    It freezes k into its weights and its answer depends on the order of candidates, so it serves to reproduce
    the paper and cannot be exported.
    """

    def __init__(self, width: int, candidates: int) -> None:
        """Layers for exactly `candidates` pairs."""
        super().__init__()
        self.width, self.candidates = width, candidates
        self.layers = nn.Sequential(nn.Linear(candidates * width, width), nn.ReLU(), nn.Linear(width, candidates))

    def forward(self, hidden: Tensor, marker_positions: Tensor, description_mask: Tensor, candidates: int) -> Tensor:
        """As the shared head, but only [CLS] is read.

        Raises:
            ValueError: `candidates` is not the k that the head was made for.
        """
        if candidates != self.candidates:
            raise ValueError(f"this head reads exactly {self.candidates} candidates, got {candidates}")
        logits: Tensor = self.layers(hidden[:, 0].reshape(-1, candidates * self.width))
        return logits.float()


class PairClassifier(nn.Module):
    """An encoder of its own over (sentence, description) pairs, and a head."""

    def __init__(self, encoder: Encoder, head: HeadKind = "shared", candidates: int = 2) -> None:
        """Put a head on an encoder; `candidates` matters to the concatenated head only."""
        super().__init__()
        self.encoder = encoder
        self.head: SharedHead | ConcatenatedHead
        if head == "shared":
            self.head = SharedHead(encoder.width)
        else:
            self.head = ConcatenatedHead(encoder.width, candidates)

    def start_from(self, recall: RecallTower) -> None:
        """Take a recall tower's encoder and, with the shared head, its virtual entities."""
        self.encoder.load_state_dict(recall.encoder.state_dict())
        if isinstance(self.head, SharedHead):
            self.head.start_from(recall)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor,
        marker_positions: Tensor,
        candidates: int = 1,
    ) -> Tensor:
        """O = pool(BERT(⟨x ⊕ d⟩)) (Eq. 13), then the head (Eq. 14).

        Three of (batch · candidates, length), of which the types are 1 in the description and 0 elsewhere, and
        (batch · candidates, 2) → (batch, candidates), float32.
        """
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        logits: Tensor = self.head(hidden, marker_positions, token_type_ids, candidates)
        return logits
