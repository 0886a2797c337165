"""How often Python looks for unreachable objects, while every request waits."""

from __future__ import annotations

import gc

THRESHOLDS = 5_000, 2, 100
"""As `gc.set_threshold` takes them: new objects, less those that are gone, after which the new ones are looked at; how
often until those are too that were new before; and how often that until all are.

Python's default is 700, 10, 10. A request makes some hundred objects; where a thousand requests wait, theirs count as
old soon, and all objects were looked at again every few seconds: 0.2 s each time, in which nobody is even refused.
These portions take some 10 ms, and all objects' turn comes after a million and a half."""


def collect_rarely() -> None:
    """Leave what the process has made by now out of every collection, and collect the rest in larger portions.

    For a process that serves and does nothing else, once it has all that it keeps until it ends.
    """
    # Not collected before: that takes a tenth of the start, and finds next to nothing.
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
