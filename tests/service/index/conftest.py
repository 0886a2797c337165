from __future__ import annotations

from typing import Any

import faiss
import pytest

from service.index.gpu import Owner


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken to the GPU stays in memory: all but the copying is as it is there."""

    def placed(self: Owner, exact: Any) -> Any:
        return faiss.clone_index(exact)

    monkeypatch.setattr(Owner, "_placed", placed)
