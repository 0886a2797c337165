"""The classifier: reads each sentence together with each candidate's description (§2.3 of the paper)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from models.emma.encoder import Encoder
from models.emma.recall import marker_states

HeadKind = Literal["shared", "concatenated"]


class SharedHead(nn.Module):
    """One logit for each candidate with shared weights, so that k and the order of candidates are free.

    The logit is the log-odds of the candidate against "none of these", whose own logit is 0.
    """

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        """A two-layer perceptron over [CLS] ⊕ [Eh] ⊕ [Et] of the pair."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(3 * width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, 1)
        )

    def forward(self, states: Tensor, candidates: int) -> Tensor:
        """(batch · candidates, 3·d) → (batch, candidates)."""
        logits: Tensor = self.layers(states)
        return logits.reshape(-1, candidates).float()


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

    def forward(self, states: Tensor, candidates: int) -> Tensor:
        """(batch · k, 3·d), of which only [CLS] is read → (batch, k).

        Raises:
            ValueError: `candidates` is not the k that the head was made for.
        """
        if candidates != self.candidates:
            raise ValueError(f"this head reads exactly {self.candidates} candidates, got {candidates}")
        logits: Tensor = self.layers(states[:, : self.width].reshape(-1, candidates * self.width))
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

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor,
        marker_positions: Tensor,
        candidates: int = 1,
    ) -> Tensor:
        """O = pool(BERT(⟨x ⊕ d⟩)) (Eq. 13), then the head (Eq. 14).

        Three of (batch · candidates, length) and (batch · candidates, 2) → (batch, candidates), float32.
        """
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        logits: Tensor = self.head(marker_states(hidden, marker_positions), candidates)
        return logits
