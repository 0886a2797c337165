from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def on_the_processor() -> Iterator[None]:
    """What the tests compute by hand lies in main memory, and so do the methods, even where there is a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.baselines.method.best_device", lambda: "cpu")
        yield
