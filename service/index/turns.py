"""A lock that is taken in turns."""

from __future__ import annotations

import threading


class Turns:
    """A lock that nobody takes again before those who waited had it.

    Python's own goes to whoever asks first when it is free: a thread that searches without a pause, a fifth of a second
    each time among a million relations, kept the thread that makes the faster index from reading a single vector.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Held by the one whose turn is next, so that whoever lets go of the lock has to wait behind it.
        self._next = threading.Lock()

    def __enter__(self) -> None:
        with self._next:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
