"""The service as a process of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.settings import variable

ROOT = Path(__file__).parents[2]


class DidNotStartError(Exception):
    """The process ended before it answered."""

    def __init__(self, code: int, log: list[dict[str, Any]]) -> None:
        super().__init__(f"exit code {code}, log {log}")
        self.code = code
        self.log = log


class ServerProcess:
    """`tests.service.server` on a free port; answers from the moment that it is made."""

    def __init__(self, bundle: Path, data_dir: Path, wrapper: Sequence[str] = (), **settings: object) -> None:
        given = {"bundle": bundle, "data_dir": data_dir, "port": 0, **settings}
        environment = {**os.environ, **{variable(name): str(value) for name, value in given.items()}}
        command = [*wrapper, sys.executable, "-m", "tests.service.server"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.log: list[dict[str, Any]] = []
        self._heard = threading.Event()
        # A pipe that nobody reads would fill up and hold the service.
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._heard.wait()
        self.url = self._url()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def terminate(self) -> int:
        """Ask it to stop and wait until it has; its exit code."""
        self._process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self._process.kill()
        self._ended()

    def limit_files(self, size: int | None) -> None:
        """Let none of its files grow beyond as many bytes, as on a disk that is full; None lifts that again."""
        _, most = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))

    def pause(self) -> None:
        """Stop it in whatever it is doing, until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def hang_up(self) -> None:
        """Tell it to read its files of settings again."""
        self._process.send_signal(signal.SIGHUP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def _ended(self) -> int:
        code = self._process.wait(timeout=60)
        self._listener.join()
        return code

    def _listen(self) -> None:
        assert self._process.stderr is not None
        try:
            with self._process.stderr as lines:
                for line in lines:
                    self.log.append(json.loads(line))
                    if "running on http://" in self.log[-1]["event"]:
                        self._heard.set()
        finally:
            self._heard.set()

    def _url(self) -> str:
        for line in self.log:
            if "running on http://" in line["event"]:
                return str(line["event"]).split("running on ")[1].split()[0]
        raise DidNotStartError(self._ended(), self.log)
