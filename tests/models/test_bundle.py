from __future__ import annotations

import json
import pickletools
import shutil
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from models.bundle import (
    CATALOGUE,
    FILES,
    INDEX,
    MANIFEST,
    RECALL,
    TOKENIZER,
    Bundle,
    BundleError,
    FileRecord,
    fingerprint,
    load_bundle,
    write_manifest,
)
from models.relation import Relation
from models.text import Lengths


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may break."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "bundle")


def rewrite(path: Path, **changes: Any) -> None:
    """Change top-level keys of a manifest; None takes one away."""
    content = json.loads((path / MANIFEST).read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (path / MANIFEST).write_text(json.dumps(kept), encoding="utf-8")


def test_a_whole_bundle_is_loaded(copy: Path, tiny_bundle: Bundle) -> None:
    assert load_bundle(copy) == Bundle(copy, tiny_bundle.manifest, tiny_bundle.calibration)


def test_the_catalogue_is_given_in_the_order_of_the_index(
    tiny_bundle: Bundle, tiny_relations: dict[str, Relation]
) -> None:
    assert tiny_bundle.relations() == list(tiny_relations.values())


def test_the_vectors_have_unit_norm(tiny_bundle: Bundle) -> None:
    vectors = tiny_bundle.vectors()
    assert vectors.shape == (14, tiny_bundle.manifest.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_lengths_are_those_of_the_manifest(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.manifest.lengths() == Lengths(64, 48)


@pytest.mark.parametrize("name", ["absent", ""])
def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=r"no bundle at .*manifest.json is missing.*emma build"):
        load_bundle(tmp_path / name)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing: restore"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_other_bit_is_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is not the file that the manifest describes: expected .* found"):
        load_bundle(copy)


def test_a_file_that_is_cut_short_is_named(copy: Path) -> None:
    (copy / RECALL).write_bytes((copy / RECALL).read_bytes()[:-1])
    with pytest.raises(BundleError, match=f"{RECALL} is not the file"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_does_not_list_is_named(copy: Path, tiny_bundle: Bundle, name: str) -> None:
    files = tiny_bundle.manifest.model_dump()["files"]
    rewrite(copy, files={key: value for key, value in files.items() if key != name})
    with pytest.raises(BundleError, match=f"does not list {name}"):
        load_bundle(copy)


@pytest.mark.parametrize("found", [1, 3, "2", 0])
def test_an_unknown_format_is_refused_with_the_known_one(copy: Path, found: object) -> None:
    rewrite(copy, format=found)
    with pytest.raises(BundleError, match=f"has format {found!r}, this version reads format 2"):
        load_bundle(copy)


@pytest.mark.parametrize("content", ["[]", "null", "{}", '"manifest"'])
def test_json_without_a_format_is_refused(copy: Path, content: str) -> None:
    (copy / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match="has format None"):
        load_bundle(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_manifest_that_is_not_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest.json is not JSON"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": None},
        {"dimension": 0},
        {"precision": "fp16"},
        {"unknown": 1},
        {"calibration": {"threshold": 0.5}},
        {"calibration": {"bias": 1.0}},
        {"files": {RECALL: {"bytes": 1, "sha256": "short"}}},
    ],
)
def test_a_manifest_that_says_too_little_or_too_much_is_refused(copy: Path, changes: dict[str, Any]) -> None:
    rewrite(copy, **changes)
    with pytest.raises(BundleError, match=r"manifest.json is not a manifest"):
        load_bundle(copy)


def accept(path: Path, bundle: Bundle) -> Bundle:
    """A bundle whose manifest describes the files as they are now."""
    files = {name: FileRecord.of(path / name) for name in FILES}
    write_manifest(path, bundle.manifest.model_copy(update={"files": files}))
    return load_bundle(path)


def test_an_index_that_does_not_fit_the_catalogue_is_refused(copy: Path, tiny_bundle: Bundle) -> None:
    lines = (copy / CATALOGUE).read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / CATALOGUE).write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(BundleError, match=r"index.faiss holds 14 vectors of 96 numbers, expected 13 of 96"):
        accept(copy, tiny_bundle).vectors()


def test_an_index_of_another_dimension_is_refused(copy: Path, tiny_bundle: Bundle) -> None:
    index = faiss.IndexFlatIP(8)
    index.add(np.eye(14, 8, dtype=np.float32))
    faiss.write_index(index, str(copy / INDEX))
    with pytest.raises(BundleError, match="holds 14 vectors of 8 numbers, expected 14 of 96"):
        accept(copy, tiny_bundle).vectors()


def test_a_record_is_the_size_and_the_checksum_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert FileRecord.of(tmp_path / "x") == FileRecord(bytes=3, sha256=expected)


def test_the_fingerprint_is_that_of_the_files(tiny_bundle: Bundle) -> None:
    path, manifest = tiny_bundle.path, tiny_bundle.manifest
    assert manifest.fingerprint == fingerprint(path / TOKENIZER, path / RECALL, manifest.lengths())


@pytest.mark.parametrize("name", [TOKENIZER, RECALL])
def test_the_fingerprint_changes_with_what_a_vector_depends_on(copy: Path, tiny_bundle: Bundle, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    found = fingerprint(copy / TOKENIZER, copy / RECALL, Lengths(64, 48))
    assert found != tiny_bundle.manifest.fingerprint


def test_the_fingerprint_changes_with_the_description_length_only(tiny_bundle: Bundle) -> None:
    files = tiny_bundle.path / TOKENIZER, tiny_bundle.path / RECALL
    assert fingerprint(*files, Lengths(100, 48)) == tiny_bundle.manifest.fingerprint
    assert fingerprint(*files, Lengths(64, 40)) != tiny_bundle.manifest.fingerprint


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_nothing_in_a_bundle_is_pickled(tiny_bundle: Bundle, name: str) -> None:
    content = (tiny_bundle.path / name).read_bytes()
    assert not content.startswith(b"PK")
    with pytest.raises(ValueError):  # noqa: PT011 - each kind of file fails at another place
        list(pickletools.genops(content))


def test_a_bundle_holds_nothing_else(tiny_bundle: Bundle) -> None:
    assert {file.name for file in tiny_bundle.path.iterdir()} == {*FILES, MANIFEST}


def test_a_manifest_that_is_written_is_read_back(copy: Path, tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest.model_copy(update={"name": "größer"})
    write_manifest(copy, manifest)
    assert load_bundle(copy).manifest == manifest


def test_a_score_that_is_no_number_cannot_be_written(copy: Path, tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest.model_copy(update={"scores": {"f1": float("nan")}})
    with pytest.raises(ValueError, match="Out of range float"):
        write_manifest(copy, manifest)
