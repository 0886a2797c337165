from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from models.text import InputError, Span
from service.cli import app
from service.cli.extract import mention
from service.settings import Settings
from service.state import State
from tests.service.fakes import REQUEST, SENTENCE, FakeRuntime

TOKENS: dict[str, Any] = {"tokens": SENTENCE.split(), "head": [0, 2], "tail": [5, 6]}


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, model: FakeRuntime) -> None:
    monkeypatch.setattr("service.cli.extract.load_model", lambda settings: model)


def extract(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extract", *map(str, arguments)])


def answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def write(path: Path, *lines: object) -> None:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")


@pytest.mark.parametrize(("head", "tail"), [("0:12", "25:31"), ("Ada Lovelace", "London"), ("Ada Lovelace", "25:31")])
def test_a_sentence_is_answered_with_mentions_as_offsets_or_as_text(head: str, tail: str) -> None:
    result = extract(SENTENCE, "--head", head, "--tail", tail)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["relation"]["id"] == "P19"


def test_a_text_that_is_there_twice_needs_offsets() -> None:
    with pytest.raises(InputError, match="'an' is 3 times in the sentence: give the head as START:END"):
        mention("an anan", "head", "an")


def test_a_text_that_overlaps_itself_is_there_twice_too() -> None:
    with pytest.raises(InputError, match="2 times"):
        mention("ababa", "head", "aba")


@pytest.mark.parametrize("text", ["Paris", ""])
def test_a_text_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not in the sentence"):
        mention(SENTENCE, "tail", text)


def test_a_text_is_taken_literally() -> None:
    assert mention("a.b (c) d", "head", "(c)") == Span(4, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a sentence or --input"),
        ([SENTENCE], "give both --head and --tail"),
        ([SENTENCE, "--head", "Ada", "--tail", "Paris"], "not in the sentence"),
        ([SENTENCE, "--head", "0:99", "--tail", "London"], "does not lie in the sentence"),
        ([SENTENCE, "--head", "Ada", "--tail", "London", "--data-dir", "/nowhere"], "no data directory /nowhere"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = extract(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--relation", "--tag"])
def test_a_relation_or_a_tag_that_is_not_there_is_named(option: str) -> None:
    result = extract(SENTENCE, "--head", "Ada Lovelace", "--tail", "London", option, "nope")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'nope'" in result.stderr


def test_a_file_of_both_kinds_of_rows_is_answered_line_by_line(rows: Path) -> None:
    write(rows, TOKENS, "", REQUEST, TOKENS | {"relation": "P19"})
    result = extract("--input", rows, "--batch-size", 2)
    assert result.exit_code == 0
    assert [answer["relation"]["id"] for answer in answers(result)] == ["P19"] * 3


def test_options_hold_for_every_row(rows: Path) -> None:
    write(rows, REQUEST, REQUEST)
    result = extract("--input", rows, "--top-k", 1, "--threshold", 1, "--relation", "P19", "--relation", "P20")
    assert [(x["relation"], len(x["candidates"])) for x in answers(result)] == [(None, 1)] * 2


def test_answers_go_to_the_output_file(rows: Path, tmp_path: Path) -> None:
    write(rows, REQUEST)
    result = extract("--input", rows, "--output", tmp_path / "answers.jsonl")
    assert result.stdout == ""
    assert json.loads((tmp_path / "answers.jsonl").read_text())["relation"]["id"] == "P19"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", "row"),
        ("[" * 100_000, "row"),
        ("3", "row"),
        ({"tokens": ["a"], "head": [0, 1]}, "tail"),
        ({"tokens": ["a", "b"], "head": [0, 1], "tail": [1, 9]}, "tail"),
        ({"tokens": "a b", "head": [0, 1], "tail": [1, 2]}, "tokens"),
        (REQUEST | {"head": {"start": 3, "end": 3}}, "head"),
        ({"sentence": "\x01 a", "head": {"start": 0, "end": 1}, "tail": {"start": 2, "end": 3}}, "head"),
    ],
)
def test_a_row_that_cannot_be_read_does_not_stop_the_others(rows: Path, line: object, field: str) -> None:
    write(rows, REQUEST, line, REQUEST)
    result = extract("--input", rows)
    assert result.exit_code == 1
    assert "1 of 3 rows could not be read" in result.stderr
    first, second, third = answers(result)
    assert first["relation"]["id"] == third["relation"]["id"] == "P19"
    assert second["error"]["field"] == field


def test_with_a_data_directory_its_registry_is_searched(rows: Path, data_dir: Path, model: FakeRuntime) -> None:
    state = State.open(Settings(data_dir=data_dir), model)
    state.registrar._registry.delete("P19")
    state.close()
    write(rows, REQUEST)
    result = extract("--input", rows, "--data-dir", data_dir, "--top-k", 50)
    [answer] = answers(result)
    assert "P19" not in {candidate["id"] for candidate in answer["candidates"]}
    assert (len(answer["candidates"]), answer["registry_version"]) == (5, 2)


def test_the_data_directory_of_a_running_service_is_refused(rows: Path, data_dir: Path, model: FakeRuntime) -> None:
    state = State.open(Settings(data_dir=data_dir), model)
    write(rows, REQUEST)
    result = extract("--input", rows, "--data-dir", data_dir)
    state.close()
    assert result.exit_code == 1
    assert "in use by another process" in result.stderr


def test_a_file_that_is_not_utf_8_is_refused(rows: Path) -> None:
    rows.write_bytes(b'{"sentence": "\xff"}\n')
    result = extract("--input", rows)
    assert result.exit_code == 1
    assert "is not UTF-8" in result.stderr
