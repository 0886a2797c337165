from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from models.bundle import DEFAULT_BUNDLE
from service.settings import Settings, SettingsError, load_settings


def test_defaults_serve_the_default_bundle_on_this_machine_only() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.bundle) == ("127.0.0.1", 8000, DEFAULT_BUNDLE)


def test_the_environment_overrides_the_defaults_and_arguments_override_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMMA_PORT", "9000")
    monkeypatch.setenv("EMMA_DATA_DIR", "/somewhere")
    settings = load_settings(port="9001")
    assert (settings.port, settings.data_dir) == (9001, Path("/somewhere"))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMMA_PORT", "abc"),
        ("EMMA_PORT", "70000"),
        ("EMMA_THREADS", "0"),
        ("EMMA_QUEUE_SIZE", "-1"),
        ("EMMA_BATCH_SIZE", "1.5"),
        ("EMMA_DEADLINE_SECONDS", "nan"),
        ("EMMA_POLL_SECONDS", "0"),
        ("EMMA_VERSION_WAIT_SECONDS", "-1"),
        ("EMMA_MAX_BODY_BYTES", "12"),
        ("EMMA_LOG_LEVEL", "loud"),
        ("EMMA_LOG_FORMAT", "xml"),
        ("EMMA_SEED_CATALOGUE", "maybe"),
    ],
)
def test_a_bad_value_names_the_variable_the_flag_and_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    flag = "--" + variable.removeprefix("EMMA_").lower().replace("_", "-")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"{variable} ({flag}) is {value!r}: " in str(caught.value)


def test_a_bad_value_comes_with_one_that_would_do() -> None:
    with pytest.raises(SettingsError, match="use something like 8000"):
        load_settings(port="abc")


@pytest.mark.parametrize("url", ["mysql://emma:secret@host/emma", "secret"])
def test_a_database_that_is_not_postgresql_is_refused_without_showing_the_url(url: str) -> None:
    with pytest.raises(SettingsError, match=r"EMMA_DATABASE_URL.*such as postgresql://") as caught:
        load_settings(database_url=url)
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.__cause__)


@pytest.mark.parametrize("url", ["mysql://emma:secret@host/emma", "secret"])
def test_an_address_to_listen_at_that_is_not_postgresqls_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"EMMA_LISTEN_URL.*such as postgresql://") as caught:
        load_settings(database_url="postgresql://host/emma", listen_url=url)
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.__cause__)


def test_an_address_to_listen_at_is_refused_where_there_is_no_database() -> None:
    with pytest.raises(SettingsError, match=r"EMMA_LISTEN_URL.*without EMMA_DATABASE_URL.*leave it out") as caught:
        load_settings(listen_url="postgresql://emma:secret@host/emma")
    assert "secret" not in str(caught.value)


def test_who_listens_does_so_at_the_database_unless_another_address_is_given() -> None:
    for unset in (None, ""):
        assert load_settings(database_url="postgresql://pooler/emma", listen_url=unset).listen_at() is None
    settings = load_settings(database_url="postgresql://pooler/emma", listen_url="postgresql://emma:secret@host/emma")
    assert str(settings.listen_at()) == "postgresql+psycopg://emma:***@host/emma"
    assert "secret" not in repr(settings)


def test_an_empty_name_of_the_file_of_api_keys_is_none() -> None:
    assert load_settings(api_keys_file="").api_keys_file is None
    assert load_settings(api_keys_file="api-keys").api_keys_file == Path("api-keys")


def test_the_registry_is_the_directorys_unless_a_database_is_given() -> None:
    for unset in (None, ""):
        assert str(load_settings(data_dir="data", database_url=unset).registry()) == "sqlite:///data/registry.db"
    settings = load_settings(database_url="postgresql://emma:secret@host/emma")
    assert str(settings.registry()) == "postgresql+psycopg://emma:***@host/emma"
    assert "secret" not in repr(settings)


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"EMMA_PORT.*; EMMA_BATCH_SIZE"):
        load_settings(port="x", batch_size="y")


def test_the_variable_that_kubernetes_sets_for_a_service_named_emma_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMMA_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        load_settings()


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_index_is_kept_beside_a_file_but_nowhere_beside_a_server_unless_told_where(tmp_path: Path) -> None:
    assert load_settings(data_dir=tmp_path).index_folder() == tmp_path / "index"
    assert load_settings(data_dir=tmp_path, index_dir=tmp_path / "i").index_folder() == tmp_path / "i"
    assert load_settings(database_url="postgresql://h/d").index_folder() is None
    assert load_settings(database_url="postgresql://h/d", index_dir=tmp_path).index_folder() == tmp_path
