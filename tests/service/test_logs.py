from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.errors import log_failure
from service.logs import configure_logs, log_startup_failure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    out, err = captured.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_json_logs_are_one_object_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    structlog.get_logger("service").info("ready", relations=3)
    [line] = lines(capsys)
    assert line | {"timestamp": ""} == {
        "event": "ready",
        "relations": 3,
        "level": "info",
        "logger": "service",
        "timestamp": "",
    }


def test_logs_of_the_server_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://here")
    [line] = lines(capsys)
    assert (line["event"], line["logger"]) == ("Uvicorn running on http://here", "uvicorn.error")


def test_the_servers_own_access_log_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    logging.getLogger("uvicorn.access").info("GET /extract?secret=1")
    assert lines(capsys) == []


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    structlog.get_logger("service").info("quiet")
    structlog.get_logger("service").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_has_no_values_of_variables(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure_logs("info", style)  # type: ignore[arg-type]
    sentence = "-".join(["a", "private", "sentence"])
    try:
        raise RuntimeError(len(sentence))
    except RuntimeError as error:
        log_failure(error)
    written = capsys.readouterr().err
    assert "RuntimeError" in written
    assert "test_logs.py" in written
    assert sentence not in written


def test_a_startup_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    log_startup_failure(RuntimeError("no bundle: do this"))
    [line] = lines(capsys)
    assert (line["level"], line["reason"]) == ("error", "no bundle: do this")
