from __future__ import annotations

import pytest

from models.job import loop
from models.job.checkpoint import Checkpoint


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    rates = [loop._warm_up_and_decay(step, 4, 20) for step in range(21)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[20] == 0.0


def test_biases_norms_and_pools_do_not_decay(tiny_checkpoint: Checkpoint) -> None:
    decaying, others = loop._parameter_groups(tiny_checkpoint.recall, 0.5)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    named = {id(p): name for name, p in tiny_checkpoint.recall.named_parameters()}
    plain = {named[id(p)] for p in others["params"]}
    assert {"head_pool.weight", "tail_pool.weight"} <= plain
    assert plain == {name for name in named.values() if "Norm" in name or "bias" in name or "pool" in name}
