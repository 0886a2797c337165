from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from service.index.rebuild import Rebuild
from service.index.source import StoppedError


class Work:
    """Counts its runs; each waits until it may go on."""

    def __init__(self) -> None:
        self.runs = 0
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, stop: threading.Event) -> None:
        self.runs += 1
        self.began.release()
        self.go.acquire()
        if stop.is_set():
            raise StoppedError


@pytest.fixture
def work() -> Work:
    return Work()


def test_nothing_runs_until_it_is_asked_for(work: Work) -> None:
    Rebuild(work).join()
    assert work.runs == 0


def test_whoever_asks_does_not_wait(work: Work) -> None:
    rebuild = Rebuild(work)
    rebuild.ask()
    assert work.began.acquire(timeout=60)
    work.go.release()
    rebuild.join()


def test_however_often_it_is_asked_for_meanwhile_it_runs_once_more(work: Work) -> None:
    rebuild = Rebuild(work)
    rebuild.ask()
    assert work.began.acquire(timeout=60)
    for _ in range(5):
        rebuild.ask()
    work.go.release(2)
    rebuild.join()
    assert work.runs == 2


def test_stopped_it_gives_up_and_runs_no_more(work: Work) -> None:
    rebuild = Rebuild(work)
    rebuild.ask()
    assert work.began.acquire(timeout=60)
    rebuild.ask()
    stopping = threading.Thread(target=rebuild.stop)
    stopping.start()
    work.go.release()
    stopping.join()
    rebuild.ask()
    assert work.runs == 1


def test_a_failure_is_logged_and_not_tried_again_at_once() -> None:
    runs = []

    def fail(stop: threading.Event) -> None:
        runs.append(stop)
        raise MemoryError

    rebuild = Rebuild(fail)
    with capture_logs() as logs:
        rebuild.ask()
        rebuild.join()
    rebuild.ask()
    rebuild.join()
    assert [line["log_level"] for line in logs] == ["error"]
    assert len(runs) == 1
