from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from benchmarks.serving.process import NotReadyError, Service


@pytest.mark.server
@pytest.mark.weights
def test_a_service_is_ready_when_it_is_made_and_gone_when_it_is_left(tmp_path: Path) -> None:
    with Service(tmp_path, threads=1) as service:
        assert httpx.get(f"{service.url}/readyz").is_success
        assert service.cpu_seconds() > 0
        assert service.resident_bytes() > 10**7
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/readyz")


@pytest.mark.server
def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"exit code 1.*bundle"):
        Service(tmp_path, bundle=tmp_path / "none")
