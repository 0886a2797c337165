from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import StartupError
from service.registry import DirectoryLock, locate, locked


def test_the_directory_is_made_when_it_is_missing(tmp_path: Path) -> None:
    DirectoryLock(tmp_path / "a" / "b").release()
    assert (tmp_path / "a" / "b").is_dir()


def test_a_second_holder_is_refused_and_told_who_has_it_and_what_to_do(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    advice = rf"in use by another process \(pid {os.getpid()}\).*EMMA_DATA_DIR.*EMMA_DATABASE_URL"
    with pytest.raises(StartupError, match=advice):
        DirectoryLock(tmp_path)
    lock.release()


def test_after_the_release_the_next_can_take_it(tmp_path: Path) -> None:
    DirectoryLock(tmp_path).release()
    DirectoryLock(tmp_path).release()


def test_another_process_is_refused(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    code = "import sys, pathlib; from service.registry import DirectoryLock; DirectoryLock(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    lock.release()
    assert other.returncode == 1
    assert f"in use by another process (pid {os.getpid()})" in other.stderr


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="point EMMA_DATA_DIR at a directory that this user may write"):
        DirectoryLock(tmp_path / "file" / "data")


def test_a_file_is_locked_by_its_directory_and_a_database_not_at_all(tmp_path: Path) -> None:
    with locked(locate(tmp_path)), pytest.raises(StartupError, match="in use"):
        DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()
    database = locate(tmp_path, "postgresql://db/emma")
    with locked(database), locked(database):
        pass
