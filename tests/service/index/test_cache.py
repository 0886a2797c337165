from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.index.cache import MANIFEST, Cache
from service.index.lists import Lists
from tests.service.index.support import clustered, flat, source

STAMPS = np.arange(1, 201, dtype=np.uint64)


@pytest.fixture(scope="module")
def base() -> Lists:
    return Lists.build(source(flat(clustered(200))))


@pytest.fixture
def folder(base: Lists, tmp_path: Path) -> Path:
    """Where a base was kept."""
    Cache(tmp_path / "index", "f1").save(base, STAMPS, 7)
    return tmp_path / "index"


def test_what_was_kept_comes_back(folder: Path, base: Lists) -> None:
    cached = Cache(folder, "f1").load(Lists, 96)
    assert cached is not None
    assert (cached.version, cached.stamps.tolist()) == (7, STAMPS.tolist())
    vector = clustered(1, seed=5)[0]
    assert cached.base.search(vector, 10) == base.search(vector, 10)


def test_where_nothing_was_kept_nothing_comes_back_without_a_word(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert Cache(tmp_path, "f1").load(Lists, 96) is None
    assert logs == []


def test_without_a_place_nothing_is_kept(base: Lists) -> None:
    cache = Cache(None, "f1")
    cache.save(base, STAMPS, 7)
    assert not cache.outgrown(200)
    assert cache.load(Lists, 96) is None


@pytest.mark.parametrize("kind", ["base", "stamps"])
@pytest.mark.parametrize("change", ["altered", "cut short", "missing"])
def test_a_damaged_file_is_not_used(folder: Path, kind: str, change: str) -> None:
    [file] = folder.glob(f"*.{kind}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes(content if change == "altered" else content[:-1])
    with capture_logs() as logs:
        assert Cache(folder, "f1").load(Lists, 96) is None
    assert [line["event"] for line in logs] == ["kept index not used"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\udcff"])
def test_a_damaged_manifest_is_not_used(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert Cache(folder, "f1").load(Lists, 96) is None


def test_a_base_of_another_encoder_dimension_tier_or_format_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Cache(folder, "f2").load(Lists, 96) is None
    assert Cache(folder, "f1").load(Lists, 64) is None
    monkeypatch.setattr("service.index.cache.FORMAT", 2)
    assert Cache(folder, "f1").load(Lists, 96) is None
    monkeypatch.undo()
    monkeypatch.setattr(Lists, "tier", "another")
    assert Cache(folder, "f1").load(Lists, 96) is None


def test_the_files_of_the_base_before_go(folder: Path, base: Lists) -> None:
    (folder / "left.base").touch()
    Cache(folder, "f1").save(base, STAMPS, 8)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["version"] == 8
    assert {x.name for x in folder.iterdir()} == {MANIFEST, *(x["name"] for x in manifest["files"].values())}


def test_a_base_that_cannot_be_written_leaves_the_one_before(
    folder: Path, base: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {x.name for x in folder.iterdir()}

    def fail(self: Lists, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Lists, "save", fail)
    with capture_logs() as logs:
        Cache(folder, "f1").save(base, STAMPS, 8)
    assert [line["event"] for line in logs] == ["index not kept"]
    assert {x.name for x in folder.iterdir()} == before
    monkeypatch.undo()
    assert Cache(folder, "f1").load(Lists, 96) is not None


def test_a_base_is_kept_again_when_it_has_grown_by_more_than_a_tenth(folder: Path, base: Lists) -> None:
    cache = Cache(folder, "f1")
    assert cache.outgrown(200)
    cache.save(base, STAMPS, 7)
    assert [cache.outgrown(vectors) for vectors in (200, 220, 221)] == [False, False, True]
