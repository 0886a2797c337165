"""FineCL's contrastive losses: the right tail among entities, and the same relation among instances."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.emma.losses import info_nce


def entity_discrimination(queries: Tensor, tails: Tensor, also: Tensor, temperature: float) -> Tensor:
    """L_ED = −log exp(cos(e_ij, e_ik)/τ) / Σ_l exp(cos(e_ij, e_il)/τ), the mean over the queries.

    The paper's candidates e_il are the entities of one document. A sentence has two, of which one is asked about, so
    they are the tails of the batch here.

    Args:
        queries: the head of each query (batch, d).
        tails: of each instance; a query's own is in the same row (batch, d).
        also: true where another row's tail answers a query too and must not count against it (batch, batch).
        temperature: τ.
    """
    own = torch.arange(len(queries), device=queries.device)
    return info_nce(normalize(queries, dim=-1), normalize(tails, dim=-1), own, also, temperature)


def relation_discrimination(vectors: Tensor, same: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """L_RD = −f(k_A) log exp(cos(r_A, r_B)/τ) / Z, the mean over ordered pairs (A, B) of the same relation.

    Z = Σ_{C ≠ A} f(k_C) exp(cos(r_A, r_C)/τ). As in the paper, Z has the term of B, and of every other instance of
    the relation, and only Z weighs it: for equal weights w, the loss is w times the plain one plus w log w.

    Args:
        vectors: r, head ⊕ tail (batch, 2·d).
        same: true where two instances share a relation (batch, batch); the diagonal is not read.
        weights: f(k) (batch,).
        temperature: τ.

    Returns:
        A scalar; 0 where no two instances share a relation.
    """
    unit = normalize(vectors, dim=-1)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    similarities = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    first, second = (same & ~itself).nonzero(as_tuple=True)
    if not len(first):
        return vectors.sum() * 0
    log_z = (similarities + weights.log()).logsumexp(dim=1)
    return (weights[first] * (log_z[first] - similarities[first, second])).mean()
