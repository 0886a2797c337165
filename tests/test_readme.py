"""The README's requests, sent to the model that ships, get the answers that it prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.bundle import DEFAULT_BUNDLE, MANIFEST
from service.app import create_app
from service.cli import app as emma
from service.settings import Settings
from tests.service.conftest import running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.weights,
    pytest.mark.skipif(not (DEFAULT_BUNDLE / MANIFEST).is_file(), reason="the default bundle is not there"),
]

README = Path(__file__).parents[1] / "README.md"
EXCHANGE = re.compile(
    r"```\ncurl -s http://127\.0\.0\.1:8000(?P<path>/\S+) -H 'content-type: application/json' -d '(?P<body>.*?)'\n```"
    r".*?```json\n(?P<answer>.*?)```",
    re.DOTALL,
)
GUARDED = re.compile(
    r"\.venv/bin/emma (?P<add>keys add .+)\n"
    r"EMMA_API_KEYS_FILE=(?P<file>\S+) make serve\n"
    r"curl -s http://127\.0\.0\.1:8000(?P<path>/\S+) -H \"Authorization: (?P<header>.+)\"\n"
)
TIMES = {"created_at", "updated_at"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def printed(value: Any) -> Any:
    """Scores as printed, up to what differs between processors; times left out."""
    if isinstance(value, dict):
        return {key: printed(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [printed(item) for item in value]
    return pytest.approx(value, abs=1e-3) if isinstance(value, float) else value


async def test_every_request_gets_the_answer_that_is_printed_below_it(tmp_path: Path) -> None:
    exchanges = list(EXCHANGE.finditer(README.read_text(encoding="utf-8")))
    assert [x["path"] for x in exchanges] == ["/extract", "/extract", "/relations", "/extract"]
    async with running(create_app(Settings(data_dir=tmp_path))) as client:
        for exchange in exchanges:
            answer = (await client.post(exchange["path"], json=json.loads(exchange["body"]))).json()
            assert {key: x for key, x in answer.items() if key not in TIMES} == printed(json.loads(exchange["answer"]))


async def test_a_key_that_is_made_as_printed_is_asked_for_and_taken_and_the_history_has_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = GUARDED.search(README.read_text(encoding="utf-8"))
    assert printed is not None
    key = CliRunner().invoke(emma, shlex.split(printed["add"])).stdout.strip()
    header = {"Authorization": printed["header"].replace("$EMMA_API_KEY", key)}
    async with running(create_app(Settings(data_dir=tmp_path, api_keys_file=Path(printed["file"])))) as client:
        assert (await client.get(printed["path"])).status_code == 401
        assert (await client.get(printed["path"], headers=header)).status_code == 200
        await client.delete("/relations/P19", headers=header)
        [deleted, _] = (await client.get("/relations/P19/history", headers=header)).json()["items"]
    assert deleted["actor"] == "loader"
