from __future__ import annotations

import pytest

from service.metrics import Metrics


def test_two_applications_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.extraction(found=True)
    assert 'emma_extractions_total{outcome="relation"} 1.0' in first.render().decode()
    assert "outcome=" not in second.render().decode()


def test_a_stage_that_fails_is_measured_too() -> None:
    metrics = Metrics()
    with pytest.raises(RuntimeError), metrics.stage("encode"):
        raise RuntimeError
    assert 'emma_stage_seconds_count{stage="encode"} 1.0' in metrics.render().decode()


def test_gauges_are_read_when_they_are_asked_for() -> None:
    metrics = Metrics()
    waiting: list[int] = []
    metrics.watch_queue(lambda: len(waiting))
    waiting.append(1)
    assert "emma_queue_depth 1.0" in metrics.render().decode()
    waiting.clear()
    assert "emma_queue_depth 0.0" in metrics.render().decode()


@pytest.mark.parametrize(
    "name",
    [
        "emma_requests_total",
        "emma_request_seconds",
        "emma_stage_seconds",
        "emma_batch_instances",
        "emma_queue_depth",
        "emma_relations",
        "emma_index_tier",
        "emma_registry_version",
        "emma_registry_reachable",
        "emma_registry_lag_seconds",
        "emma_extractions_total",
        "emma_cache_lookups_total",
    ],
)
def test_the_documented_metrics_are_there(name: str) -> None:
    assert f"# TYPE {name} " in Metrics().render().decode()
