"""The thread that makes bases, while the index is searched and written to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import faiss

from models.runtime import available_processors
from service.errors import log_failure
from service.index.source import StoppedError

REST_SECONDS = 60.0
"""After a failure, which would most likely come again with the next write."""


class Rebuild:
    """Runs one function in the background whenever it was asked for, never twice at once."""

    def __init__(self, make: Callable[[threading.Event], None]) -> None:
        """Set up; there is no thread until there is something to do.

        Args:
            make: gets an event, and raises `StoppedError` when that is set.
        """
        self._make = make
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wanted = False
        self._rests_until = 0.0
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Run it, once more if it runs already."""
        with self._lock:
            if self._stop.is_set() or time.monotonic() < self._rests_until:
                return
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="emma-index")
                self._thread.start()

    def join(self) -> None:
        """Wait until nothing is left to do."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def stop(self) -> None:
        """Give up what is being done, and do nothing any more."""
        self._stop.set()
        self.join()

    def _run(self) -> None:
        # Half of the processors: searches and the model have the rest to themselves.
        faiss.omp_set_num_threads(max(1, available_processors() // 2))
        while self._next():
            try:
                self._make(self._stop)
            except StoppedError:
                pass
            except Exception as error:
                log_failure(error)
                with self._lock:
                    self._wanted = False
                    self._rests_until = time.monotonic() + REST_SECONDS

    def _next(self) -> bool:
        with self._lock:
            if not self._wanted or self._stop.is_set():
                self._thread = None
                return False
            self._wanted = False
            return True
