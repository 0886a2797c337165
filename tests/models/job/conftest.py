"""The small bundle's graphs, opened once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import onnxruntime as ort

    from models.bundle import Bundle


@pytest.fixture(scope="session")
def recall_graph(tiny_bundle: Bundle) -> ort.InferenceSession:
    from tests.models.job.graphs import session

    return session(tiny_bundle.path / "recall.onnx")


@pytest.fixture(scope="session")
def classifier_graph(tiny_bundle: Bundle) -> ort.InferenceSession:
    from tests.models.job.graphs import session

    return session(tiny_bundle.path / "classifier.onnx")
