from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models.bundle import Bundle
from models.relation import Relation, read_relations, write_relations
from service.cli import app
from service.errors import RegistryUnavailableError, StartupError
from service.settings import Settings, load_settings
from service.state import State
from tests.service import postgresql
from tests.service.conftest import READER, WRITER
from tests.service.fakes import CATALOGUE_RELATIONS, FakeRuntime, make_bundle
from tests.service.processes import ServerProcess

TAUGHT = Relation("T1", "teacher", "The head teaches the tail.")


@pytest.fixture(scope="module")
def url(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ServerProcess(bundle.path, tmp_path_factory.mktemp("server")) as server:
        yield server.url


def relations(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["relations", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.server
def test_list_shows_the_relations(url: str) -> None:
    output = relations("list", "--url", url).stdout
    assert "place of birth" in output
    assert "The head died in the tail." in output


@pytest.mark.server
def test_add_prints_the_id_and_can_be_repeated(url: str) -> None:
    first = relations("add", "employs", "The head pays the tail for work.", "--url", url)
    assert first.exit_code == 0
    assert first.stdout.startswith("employs-")
    assert relations("add", "employs", "The head pays the tail for work.", "--url", url).stdout == first.stdout


@pytest.mark.server
def test_list_shows_brackets_as_they_are(url: str) -> None:
    relations("add", "a [bold]b[/bold] [/c]", "The head is like the tail.", "--url", url)
    assert "a [bold]b[/bold] [/c]" in relations("list", "--url", url).stdout


@pytest.mark.server
def test_add_takes_an_id_and_says_when_it_is_taken(url: str) -> None:
    assert relations("add", "a", "The head is the tail.", "--id", "A1", "--url", url).stdout == "A1\n"
    taken = relations("add", "a", "Something else.", "--id", "A1", "--url", url)
    assert taken.exit_code == 1
    assert "answered 409" in taken.stderr


@pytest.mark.server
def test_import_registers_whole_batches_and_tells_the_row_and_the_reason_of_each_refusal(
    url: str, tmp_path: Path
) -> None:
    file = tmp_path / "relations.jsonl"
    bad = [Relation("bad id", "x", "y"), Relation("B", "x", "w" * 6000)]
    taken = [Relation("P19", "other", "Something else."), Relation("P20", "other", "Something else.")]
    good = [Relation(f"T{number}", f"number {number}", "The head teaches the tail.") for number in range(5)]
    write_relations([*good[:3], *bad, good[3], *taken, good[4]], file)
    result = relations("import", file, "--url", url, "--batch-size", 3)
    assert result.exit_code == 1
    assert result.stdout == "3 relations registered, 3 of them new, 4 refused, 2 left out with them\n"
    assert [line.removeprefix(f"{file}, ").split(": ")[:2] for line in result.stderr.splitlines()] == [
        ["line 4", "bad id"],
        ["line 5", "B"],
        ["line 7", "P19"],
        ["line 8", "P20"],
    ]
    alone = relations("import", file, "--url", url, "--batch-size", 1)
    assert alone.stdout == "5 relations registered, 2 of them new, 4 refused, 0 left out with them\n"


@pytest.mark.server
def test_import_tells_which_row_has_an_id_of_another(url: str, tmp_path: Path) -> None:
    file = tmp_path / "relations.jsonl"
    write_relations([Relation("D1", "a", "b"), Relation("D2", "a", "c"), Relation("D1", "a", "d")], file)
    result = relations("import", file, "--url", url)
    assert result.stdout == "0 relations registered, 0 of them new, 1 refused, 2 left out with them\n"
    assert f"{file}, line 3: the id 'D1' is there twice" in result.stderr


@pytest.mark.server
@pytest.mark.parametrize("name", ["relations.jsonl", "relations.csv"])
def test_export_is_the_inverse_of_import(url: str, tmp_path: Path, name: str) -> None:
    relations("add", "a, b", 'The head is "the tail".', "--id", "E1", "--paraphrase", "Ein\nTäil.", "--url", url)
    relations("export", tmp_path / name, "--url", url)
    again = relations("import", tmp_path / name, "--url", url)
    assert again.exit_code == 0
    assert "0 of them new, 0 refused" in again.stdout
    relations("export", tmp_path / f"again-{name}", "--url", url)
    assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.server
def test_import_replaces_when_told_to(url: str, tmp_path: Path) -> None:
    file = tmp_path / "relations.jsonl"
    write_relations([Relation("P800", "notable work", "The tail is what made the head famous."), TAUGHT], file)
    assert relations("import", file, "--url", url).exit_code == 1
    assert relations("import", file, "--url", url, "--replace").exit_code == 0
    relations("export", tmp_path / "exported.jsonl", "--url", url)
    assert read_relations(tmp_path / "exported.jsonl")["P800"].description == "The tail is what made the head famous."


@pytest.mark.server
def test_export_writes_a_relation_file(url: str) -> None:
    rows = [json.loads(line) for line in relations("export", "--url", url).stdout.splitlines()]
    assert {x.id for x in CATALOGUE_RELATIONS} <= {row["id"] for row in rows}
    assert all(set(row) - {"paraphrases"} == {"id", "name", "description"} for row in rows)


@pytest.mark.server
def test_paraphrases_are_added_imported_and_exported(url: str, tmp_path: Path) -> None:
    relations("add", "a", "The head is the tail.", "--id", "W1", "--paraphrase", "They are one.", "--url", url)
    write_relations([Relation("W2", "a", "The head is the tail.", ("They are one.", "Both are one."))], tmp_path / "in")
    relations("import", tmp_path / "in", "--url", url)
    relations("export", tmp_path / "out", "--url", url)
    exported = read_relations(tmp_path / "out")
    assert [exported[key].paraphrases for key in ("W1", "W2")] == [
        ("They are one.",),
        ("They are one.", "Both are one."),
    ]


@pytest.mark.server
def test_a_relation_file_with_a_fault_names_the_line(url: str, tmp_path: Path) -> None:
    file = tmp_path / "relations.jsonl"
    file.write_text('{"id": "a", "name": "b", "description": "c"}\n{"id": "x"}\n')
    result = relations("import", file, "--url", url)
    assert result.exit_code == 1
    assert f"{file}, line 2: x: name: Field required" in result.stderr


@pytest.mark.server
def test_the_key_of_the_environment_is_sent_and_a_refusal_names_its_variable(
    bundle: Bundle, tmp_path: Path, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = (header["Authorization"].removeprefix("Bearer ") for header in (READER, WRITER))
    add = "add", "employs", "The head pays the tail for work."
    with ServerProcess(bundle.path, tmp_path / "data", api_keys_file=keys_file) as server:
        without = relations("list", "--url", server.url)
        monkeypatch.setenv("EMMA_API_KEY", reader)
        listed, refused = relations("list", "--url", server.url), relations(*add, "--url", server.url)
        monkeypatch.setenv("EMMA_API_KEY", f"{writer}\n")
        added = relations(*add, "--url", server.url)
    assert [result.exit_code for result in (without, listed, refused, added)] == [1, 0, 1, 0]
    for result, status in ((without, 401), (refused, 403)):
        assert f"answered {status}" in result.stderr
        assert "EMMA_API_KEY" in result.stderr


@pytest.mark.parametrize("key", ["two words", "kéy"])
def test_a_key_that_cannot_be_sent_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("EMMA_API_KEY", key)
    result = relations("list")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "EMMA_API_KEY has white space" in result.stderr
    assert key not in result.stderr


def test_a_service_that_does_not_answer_is_explained_and_leaves_files_alone(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound but not listening: whoever connects is refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = relations("export", tmp_path / "out.jsonl", "--url", url)
    assert result.exit_code == 1
    assert f"no answer from {url}" in result.stderr
    assert "emma serve" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_reindex_makes_a_registry_fit_another_bundle(
    data_dir: Path, tmp_path: Path, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    State.open(Settings(data_dir=data_dir), model).close()
    other = FakeRuntime(make_bundle(tmp_path / "other", recall=b"another encoder"))
    with pytest.raises(StartupError, match="emma relations reindex"):
        State.open(Settings(data_dir=data_dir), other)
    monkeypatch.setattr("service.cli.relations.load_model", lambda settings: other)
    result = relations("reindex", "--data-dir", data_dir)
    assert (result.exit_code, result.stdout) == (0, "6 relations encoded with fake\n")
    state = State.open(Settings(data_dir=data_dir), other)
    assert (len(state.index), state.index.version) == (6, 2)
    state.close()


def test_reindex_of_a_database_lets_services_go_on_extracting(
    tmp_path: Path, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeRuntime(make_bundle(tmp_path / "other", recall=b"another encoder"))
    monkeypatch.setattr("service.cli.relations.load_model", lambda settings: other)
    with postgresql.schema() as url:
        settings = load_settings(database_url=url)
        running = State.open(settings, model)
        result = relations("reindex", "--database-url", url)
        assert (result.exit_code, result.stdout) == (0, "6 relations encoded with fake\n")
        with pytest.raises(RegistryUnavailableError, match="start it again with the bundle of that encoder"):
            running.replica.catch_up()
        assert (len(running.index), running.index.version) == (6, 1)
        running.close()
        started = State.open(settings, other)
        assert (len(started.index), started.index.version) == (6, 2)
        started.close()


def test_reindex_refuses_while_the_service_runs(
    data_dir: Path, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State.open(Settings(data_dir=data_dir), model)
    monkeypatch.setattr("service.cli.relations.load_model", lambda settings: model)
    result = relations("reindex", "--data-dir", data_dir)
    state.close()
    assert result.exit_code == 1
    assert "in use by another process" in result.stderr


@pytest.mark.parametrize("made", [False, True], ids=["no directory", "no registry"])
def test_reindex_without_a_registry_says_so_and_makes_none(
    data_dir: Path, model: FakeRuntime, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    if made:
        data_dir.mkdir()
    monkeypatch.setattr("service.cli.relations.load_model", lambda settings: model)
    result = relations("reindex", "--data-dir", data_dir)
    assert result.exit_code == 1
    assert "nothing to encode again" in result.stderr
    assert not (data_dir / "registry.db").exists()
