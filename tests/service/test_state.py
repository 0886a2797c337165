from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from models.bundle import CATALOGUE, RECALL, Bundle
from service.app import create_app
from service.errors import NotReadyError, StartupError
from service.registry import DirectoryLock
from service.settings import Settings, load_settings
from service.state import State, current, load_model
from tests.service import postgresql
from tests.service.fakes import FakeRuntime, make_bundle


def opened(data_dir: Path, model: FakeRuntime, seed_catalogue: bool = True) -> State:
    return State.open(Settings(data_dir=data_dir, seed_catalogue=seed_catalogue), model)


def test_the_first_start_registers_the_catalogue(data_dir: Path, model: FakeRuntime) -> None:
    state = opened(data_dir, model)
    assert (len(state.index), state.index.version) == (6, 1)
    state.close()


def test_without_seeding_the_first_start_registers_nothing(data_dir: Path, model: FakeRuntime) -> None:
    state = opened(data_dir, model, seed_catalogue=False)
    assert (len(state.index), state.index.version) == (0, 0)
    state.close()


@pytest.mark.anyio
async def test_a_service_behind_a_pooler_hears_notifications_at_the_address_that_it_is_given(
    tmp_path: Path, model: FakeRuntime
) -> None:
    with postgresql.pooled(tmp_path) as (url, server):
        settings = load_settings(database_url=url, listen_url=server, poll_seconds=3600)
        state = State.open(settings, model)
        state.start()
        assert state._follower is not None
        await asyncio.wait_for(state._follower._probed.wait(), 60)
        await state.stop()
        state.close()


def test_the_model_is_warm_before_anything_is_answered(data_dir: Path, model: FakeRuntime) -> None:
    opened(data_dir, model).close()
    assert model.entered.is_set()


def test_a_second_service_on_the_data_directory_is_refused(data_dir: Path, model: FakeRuntime) -> None:
    state = opened(data_dir, model)
    with pytest.raises(StartupError, match="in use by another process"):
        opened(data_dir, model)
    state.close()


def test_after_closing_the_data_directory_is_free(data_dir: Path, model: FakeRuntime) -> None:
    opened(data_dir, model).close()
    opened(data_dir, model).close()


def test_a_registry_of_another_encoder_is_refused_and_the_directory_given_back(
    data_dir: Path, model: FakeRuntime, tmp_path: Path
) -> None:
    opened(data_dir, model).close()
    other = FakeRuntime(make_bundle(tmp_path / "other", recall=b"another encoder"))
    with pytest.raises(StartupError) as caught:
        opened(data_dir, other)
    for part in (model.bundle.manifest.fingerprint, other.bundle.manifest.fingerprint, "emma relations reindex"):
        assert part in str(caught.value)
    DirectoryLock(data_dir).release()


def test_a_bundle_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"no bundle at .*EMMA_BUNDLE"):
        load_model(Settings(bundle=tmp_path))


@pytest.mark.parametrize("change", ["missing", "altered"])
def test_a_bundle_with_a_file_missing_or_altered_is_refused(tmp_path: Path, change: str) -> None:
    path = make_bundle(tmp_path / "bundle").path
    if change == "missing":
        (path / CATALOGUE).unlink()
    else:
        (path / CATALOGUE).write_bytes((path / CATALOGUE).read_bytes() + b"\n")
    with pytest.raises(StartupError, match=r"catalogue\.jsonl is (missing|not the file)"):
        load_model(Settings(bundle=path))


def test_a_graph_that_is_no_graph_is_explained(bundle: Bundle) -> None:
    assert (bundle.path / RECALL).read_bytes() == b"1"
    with pytest.raises(StartupError, match="cannot load the bundle"):
        load_model(Settings(bundle=bundle.path))


def test_a_start_without_api_keys_says_so_once(data_dir: Path, model: FakeRuntime) -> None:
    with capture_logs() as logs:
        opened(data_dir, model).close()
    [line] = [line for line in logs if "API keys" in line["event"]]
    assert line["effect"] == "whoever reaches the service may use it and change the registry"


def test_a_start_with_api_keys_says_how_many_but_none_of_them(
    data_dir: Path, model: FakeRuntime, keys_file: Path
) -> None:
    with capture_logs() as logs:
        State.open(Settings(data_dir=data_dir, api_keys_file=keys_file), model).close()
    [line] = [line for line in logs if "API keys" in line["event"]]
    assert line == {"event": "API keys read", "log_level": "info", "file": str(keys_file), "keys": 3}


def test_a_file_of_api_keys_with_a_fault_is_refused_and_the_directory_given_back(
    data_dir: Path, model: FakeRuntime, keys_file: Path
) -> None:
    keys_file.write_text("reader")
    with pytest.raises(StartupError, match="line 1"):
        State.open(Settings(data_dir=data_dir, api_keys_file=keys_file), model)
    DirectoryLock(data_dir).release()


@pytest.mark.anyio
async def test_an_application_that_does_not_serve_yet_is_not_ready(data_dir: Path, model: FakeRuntime) -> None:
    app = create_app(Settings(data_dir=data_dir), model)
    with pytest.raises(NotReadyError):
        await current(Request({"type": "http", "app": app}))
