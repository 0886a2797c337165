"""A service as a process of its own: started, asked whether it is ready, watched, and ended."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

READY_SECONDS = 120.0
ASK_SECONDS = 0.02


class NotReadyError(Exception):
    """The process ended, or did not answer in time; the message has the end of its log."""


class Server:
    """A process that serves on a free port, ready from the moment that it is made; a context manager that kills it.

    Attributes:
        url: where it answers.
        start_seconds: from the start of the process to the first answer that it is ready.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str | Path]],
        log: Path,
        *,
        ready: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            command: what serves on a port.
            log: where its output goes.
            ready: path that answers with success as soon as it is ready.
            environment: besides this process's.
            folder: that it runs in.

        Raises:
            NotReadyError: it does not become ready.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log, self._ready = log, ready
        start = time.perf_counter()
        with log.open("ab") as file:
            self._process = psutil.Popen(
                [str(x) for x in command(port)],
                env={**os.environ, **(environment or {})},
                cwd=folder,
                stdout=file,
                stderr=file,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.perf_counter() - start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def cpu_seconds(self) -> float:
        """Processor time that it has used, in user and system mode."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Memory that it has in use."""
        return int(self._process.memory_info().rss)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        deadline = time.perf_counter() + READY_SECONDS
        # One client for all: making one takes longer than asking.
        with httpx.Client(base_url=self.url) as client:
            while time.perf_counter() < deadline:
                try:
                    if client.get(self._ready).is_success:
                        return
                except httpx.TransportError:
                    pass
                try:
                    # There is no event to wait for before it listens, but for its end.
                    code = self._process.wait(ASK_SECONDS)
                except psutil.TimeoutExpired:
                    continue
                raise NotReadyError(f"it ended with exit code {code}: {self._tail()}")
        raise NotReadyError(f"no answer that it is ready within {READY_SECONDS:g} s: {self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2_000:]


class Service(Server):
    """`emma serve`."""

    def __init__(self, data_dir: Path, **settings: str | int | float | Path) -> None:
        """Start it.

        Args:
            data_dir: of its registry; its log goes there too.
            settings: others, by their names without `EMMA_`.

        Raises:
            NotReadyError: it does not become ready.
        """
        given = {f"EMMA_{name.upper()}": str(value) for name, value in settings.items()}
        emma = Path(sys.executable).with_name("emma")
        super().__init__(
            lambda port: [emma, "serve", "--port", str(port)],
            data_dir / "service.log",
            ready="/readyz",
            environment={**given, "EMMA_DATA_DIR": str(data_dir)},
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
