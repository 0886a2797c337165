"""One process at a time in a data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from service.errors import StartupError

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
                "not see each other's relations: stop that one, or give this one its own EMMA_DATA_DIR"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with the next to take it."""
        self._file.close()
