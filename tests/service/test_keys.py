from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service import keys
from service.errors import StartupError
from service.keys import ApiKey, Keys

DIGESTS = {key: hashlib.sha256(key.encode()).hexdigest() for key in ("k1", "k2")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "api-keys"


def test_a_line_is_an_id_a_role_and_a_digest(file: Path) -> None:
    file.write_text(f"loader write {DIGESTS['k1']}\n  reader\tread  {DIGESTS['k2'].upper()}")
    assert keys.read(file) == [
        ApiKey("loader", "write", DIGESTS["k1"]),
        ApiKey("reader", "read", DIGESTS["k2"]),
    ]


def test_comments_and_blank_lines_are_passed_over(file: Path) -> None:
    file.write_text(f"# of the nightly import\n\nloader write {DIGESTS['k1']} # until May\n   \n")
    assert [key.id for key in keys.read(file)] == ["loader"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("secret", "it has 1 words in place of 3"),
        (f"reader read {DIGESTS['k2']} secret", "it has 4 words in place of 3"),
        (f"secret! read {DIGESTS['k2']}", "its first word is no id"),
        (f"reader secret {DIGESTS['k2']}", "its second word is no role, which is one of read, write"),
        ("reader read secret", "its third word is no SHA-256, which has 64 hexadecimal digits"),
        (f"loader read {DIGESTS['k2']}", "its id is that of line 2, too"),
        (f"reader read {DIGESTS['k1']}", "its digest is that of line 2, too"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_its_fault_and_the_form_and_is_not_repeated(
    file: Path, line: str, fault: str
) -> None:
    file.write_text(f"\nloader write {DIGESTS['k1']}\n\n{line}\n")
    with pytest.raises(StartupError) as caught:
        Keys(file)
    message = str(caught.value)
    assert message.startswith(f"{file}, line 4: {fault}")
    assert message.endswith("a line is `id role sha256`, as `emma keys add` writes it")
    assert "secret" not in message
    assert not any(value in message for value in DIGESTS.values())


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_file_that_cannot_be_read_is_refused_with_the_fix(file: Path, kind: str) -> None:
    if kind == "directory":
        file.mkdir()
    with pytest.raises(StartupError, match=r"cannot read the file of API keys .*: .*; point EMMA_API_KEYS_FILE at one"):
        Keys(file)


def test_a_file_that_is_not_utf_8_is_refused_without_a_word_of_it(file: Path) -> None:
    file.write_bytes(b"# secret\xff")
    with pytest.raises(StartupError, match=r"is not UTF-8: invalid start byte at byte 8$"):
        Keys(file)


def test_a_key_is_found_by_what_the_client_sends(file: Path) -> None:
    file.write_text(f"loader write {DIGESTS['k1']}\n")
    known = Keys(file)
    assert known.find(b"k1") == ApiKey("loader", "write", DIGESTS["k1"])
    assert [known.find(guess) for guess in (b"k2", b"", DIGESTS["k1"].encode(), b"\xff")] == [None] * 4


def test_a_file_that_is_read_again_has_the_keys_that_it_has_by_then(file: Path) -> None:
    file.write_text(f"loader write {DIGESTS['k1']}\n")
    known = Keys(file)
    file.write_text(f"reader read {DIGESTS['k2']}\n")
    known.reread()
    assert known.find(b"k1") is None
    assert known.find(b"k2") == ApiKey("reader", "read", DIGESTS["k2"])


def test_a_file_that_is_read_again_and_has_a_fault_leaves_the_keys_as_they_are(file: Path) -> None:
    file.write_text(f"loader write {DIGESTS['k1']}\n")
    known = Keys(file)
    file.write_text("loader")
    with capture_logs() as logs:
        known.reread()
    [line] = logs
    assert (line["event"], line["log_level"]) == ("API keys not read again", "error")
    assert "line 1" in line["reason"]
    assert known.find(b"k1") is not None


def test_an_added_key_is_known_and_only_its_digest_is_in_the_file(file: Path) -> None:
    key = keys.add(file, "loader", "write")
    found = Keys(file).find(key.encode())
    assert found is not None
    assert (found.id, found.role) == ("loader", "write")
    assert key not in file.read_text()


def test_no_two_keys_that_are_added_are_the_same(file: Path) -> None:
    assert len({keys.add(file, f"k{number}", "read") for number in range(3)}) == 3


def test_the_file_is_for_its_owner_alone_also_where_it_was_for_all_before(file: Path) -> None:
    file.touch(mode=0o644)
    keys.add(file, "loader", "write")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_root_edits_stays_its_owner_s(file: Path) -> None:
    file.touch()
    os.chown(file, 10001, -1)
    keys.add(file, "loader", "write")
    assert file.stat().st_uid == 10001


def test_what_else_is_in_the_file_stays_as_it_is(file: Path) -> None:
    kept = f"# first\n\nloader  write {DIGESTS['k1']} # until May"
    file.write_text(kept)
    keys.add(file, "reader", "read")
    assert file.read_text().startswith(f"{kept}\nreader read ")
    keys.remove(file, "reader")
    assert file.read_text() == f"{kept}\n"


def test_a_file_that_is_a_link_stays_one(file: Path, tmp_path: Path) -> None:
    file.symlink_to(tmp_path / "target")
    keys.add(file, "loader", "write")
    assert file.is_symlink()
    assert [key.id for key in keys.read(tmp_path / "target")] == ["loader"]


def test_an_id_that_is_taken_is_refused(file: Path) -> None:
    keys.add(file, "loader", "write")
    before = file.read_text()
    with pytest.raises(StartupError, match="has a key 'loader' already"):
        keys.add(file, "loader", "read")
    assert file.read_text() == before


@pytest.mark.parametrize("key_id", ["", "two words", "#", "a\nb", "x" * 129])
def test_an_id_that_would_not_fit_the_file_is_refused(file: Path, key_id: str) -> None:
    with pytest.raises(StartupError, match="is no id of a key"):
        keys.add(file, key_id, "read")
    assert not file.exists()


def test_a_file_with_a_fault_is_not_added_to(file: Path) -> None:
    file.write_text("loader")
    with pytest.raises(StartupError, match="line 1"):
        keys.add(file, "reader", "read")
    assert file.read_text() == "loader"


def test_a_file_that_cannot_be_written_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot write the file of API keys .*in a directory that is there"):
        keys.add(tmp_path / "missing" / "api-keys", "loader", "write")


def test_a_change_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.add(file, "loader", "write")
    before = file.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.keys.os.fsync", full)
    with pytest.raises(StartupError, match="No space left on device"):
        keys.add(file, "reader", "read")
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


def test_of_keys_that_are_added_at_the_same_time_none_is_lost(file: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: keys.add(file, f"k{number}", "read"), range(16)))
    assert {key.id for key in keys.read(file)} == {f"k{number}" for number in range(16)}


def test_a_removed_key_is_unknown_and_the_others_are_not(file: Path) -> None:
    removed, kept = (keys.add(file, key_id, "read") for key_id in ("a", "b"))
    keys.remove(file, "a")
    known = Keys(file)
    assert known.find(removed.encode()) is None
    assert known.find(kept.encode()) is not None


def test_a_key_that_is_not_there_cannot_be_removed(file: Path) -> None:
    keys.add(file, "loader", "write")
    with pytest.raises(StartupError, match="has no key 'reader'"):
        keys.remove(file, "reader")
