"""A lock that is taken in turns, by one alone or by several that only read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that nobody takes again before those who waited had it; `shared`, together with others that only read.

    Python's own goes to whoever asks first when it is free: a thread that searches without a pause, a fifth of a second
    each time among a million relations, kept the thread that makes the faster index from reading a single vector.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Held by the one whose turn is next, so that whoever lets go of the lock has to wait behind it, readers too.
        self._next = threading.Lock()
        self._counting = threading.Lock()
        self._readers = 0

    def __enter__(self) -> None:
        with self._next:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Have it together with all others that share it; not twice in one thread, which may wait for itself."""
        with self._next, self._counting:
            # Waits only where nobody shares it, so nobody who does waits to be counted out.
            if self._readers == 0:
                self._lock.acquire()
            self._readers += 1
        try:
            yield
        finally:
            with self._counting:
                self._readers -= 1
                if self._readers == 0:
                    self._lock.release()
