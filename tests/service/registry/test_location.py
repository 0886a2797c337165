from __future__ import annotations

from pathlib import Path

import pytest

from service.registry import described, is_shared, locate


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_url_of_postgresql_is_shared_and_described_without_its_password(scheme: str) -> None:
    url = locate(Path("data"), f"{scheme}://emma:secret@db:5433/emma?sslmode=require")
    assert is_shared(url)
    assert described(url) == "postgresql://emma:***@db:5433/emma?sslmode=require"


def test_without_a_url_the_registry_is_a_file_that_one_process_may_use() -> None:
    assert not is_shared(locate(Path("data")))


@pytest.mark.parametrize("url", ["sqlite:///secret.db", "postgresql+asyncpg://emma:secret@db/emma", "secret", ""])
def test_a_url_of_anything_else_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a PostgreSQL database") as caught:
        locate(Path("data"), url)
    assert "secret" not in str(caught.value)
