from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from service.registry import locate
from tests.service import postgresql


@pytest.fixture
def sqlite(tmp_path: Path) -> URL:
    return locate(tmp_path)


@pytest.fixture
def shared() -> Iterator[URL]:
    """A registry that several processes may use."""
    with postgresql.schema() as url:
        yield locate(Path(), url)


@pytest.fixture(params=["sqlite", "shared"])
def url(request: pytest.FixtureRequest) -> URL:
    """An empty registry, in each of the databases."""
    found: URL = request.getfixturevalue(request.param)
    return found
