"""Wall and processor time of what runs in this process."""

from __future__ import annotations

import time


class Stopwatch:
    """Wall and processor seconds from when it was made; the latter of all threads of this process."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall_ms(self) -> float:
        """Milliseconds that have passed."""
        return 1000 * (time.perf_counter() - self._wall)

    def cpu_ms(self) -> float:
        """Milliseconds of processor time that were used."""
        return 1000 * (time.process_time() - self._cpu)
