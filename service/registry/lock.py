"""One process at a time in a data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from service.errors import StartupError
from service.registry.location import is_shared

NAME = "emma.lock"


class DirectoryLock:
    """A lock that the operating system gives back when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock, making the directory when it is missing.

        Raises:
            StartupError: another process has it, or the directory cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = (directory / NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise StartupError(
                f"cannot use the data directory {directory}: {error.strerror or error}; "
                "point EMMA_DATA_DIR at a directory that this user may write"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StartupError(
                f"the data directory {directory} is in use by another process (pid {holder}), and two of them would "
                "not see each other's relations: stop that one, give this one its own EMMA_DATA_DIR, or let both share "
                "a PostgreSQL database through EMMA_DATABASE_URL"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with the next to take it."""
        self._file.close()


@contextmanager
def locked(url: URL) -> Iterator[None]:
    """Keep other processes away from a registry that only one may use; nothing happens for one that many may.

    Raises:
        StartupError: another process has it, or its directory cannot be written.
    """
    if is_shared(url):
        yield
        return
    lock = DirectoryLock(Path(url.database or "").parent)
    try:
        yield
    finally:
        lock.release()
