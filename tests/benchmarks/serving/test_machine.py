from __future__ import annotations

from benchmarks.serving.machine import machine


def test_the_machine_is_named_with_the_versions_that_matter() -> None:
    assert "onnxruntime" in machine()
    assert "cores" in machine()
