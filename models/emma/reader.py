"""The classifier that ships: all candidates' descriptions read one sentence, which is itself read once.

The lower layers are recall's own and read each text by itself, so that a sentence's states come out of recall's
reading and a description's can be kept; only the upper layers are of the classifier's own (as in DeFormer, arXiv
2005.00697).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.candidates import PADDING, SENTENCE
from models.emma.classifier import MatchingHead
from models.emma.encoder import Encoder, EncoderError, through
from models.emma.recall import RecallTower, WeightPooling


class CandidateReader(nn.Module):
    """Upper layers over a sentence and k candidates, and a head with shared weights.

    The tokens of a candidate attend to their own description and to the sentence, those of the sentence to the
    sentence alone. So a candidate's logit does not depend on the others, their number or their order, and the
    sentence, which does not bend towards what is asked of it, is read once for all of them.
    """

    def __init__(self, encoder: Encoder, layers: int, dropout: float = 0.1) -> None:
        """Take the upper layers of an encoder, which is not to be used otherwise, and add the head.

        Raises:
            EncoderError: it has no more layers than that, or cannot be cut between them.
        """
        super().__init__()
        if not layers < len(encoder.layers):
            raise EncoderError(
                f"the classifier's {layers} upper layers leave none of the encoder's {len(encoder.layers)} to recall: "
                "lower --classifier-layers"
            )
        width = encoder.width
        self.layers = encoder.layers[-layers:]
        self.kinds = nn.Parameter(torch.zeros(2, width))
        self.head = MatchingHead(width, dropout)

    def start_from(self, recall: RecallTower) -> None:
        """Take a recall tower's upper layers and its virtual entities."""
        self.layers.load_state_dict(recall.encoder.layers[-len(self.layers) :].state_dict())
        self.head.start_from(recall)

    def forward(self, states: Tensor, segments: Tensor, marker_positions: Tensor, starts: Tensor) -> Tensor:
        """Logits (batch, k), float32; that of a candidate that is not there means nothing.

        Args:
            states: of all tokens after recall's lower layers (batch, length, d), the sentence's first.
            segments: of each token, as in `models.candidates` (batch, length).
            marker_positions: of [Eh] and [Et] (batch, 2).
            starts: position of each candidate's [CLS] (batch, k).
        """
        hidden = states + torch.where((segments > SENTENCE)[..., None], self.kinds[1], self.kinds[0])
        asking, asked = segments[:, :, None], segments[:, None, :]
        sees = ((asking == asked) | (asked == SENTENCE)) & (asked > PADDING)
        hidden = through(self.layers, hidden, sees[:, None])

        k = starts.shape[1]
        places = torch.arange(hidden.shape[1], device=hidden.device)
        own = segments[:, None, :] == torch.arange(1, k + 1, device=segments.device)[None, :, None]
        content = own & (places != starts[..., None])
        rows = torch.arange(hidden.shape[0], device=hidden.device)[:, None]
        markers = hidden[rows, marker_positions].flatten(1)[:, None].expand(-1, k, -1)
        pools = (self.head.head_pool, self.head.tail_pool)
        entities = torch.cat([_pooled(pool, hidden, content) for pool in pools], dim=-1)
        return self.head.logits(hidden[rows, starts], markers, entities)


def _pooled(pool: WeightPooling, hidden: Tensor, content: Tensor) -> Tensor:
    """One virtual entity of each candidate: (batch, length, d) and a mask (batch, k, length) → (batch, k, d)."""
    scores = (hidden @ pool.weight).float()[:, None, :].masked_fill(~content, torch.finfo(torch.float32).min)
    return scores.softmax(dim=-1).to(hidden.dtype) @ hidden
