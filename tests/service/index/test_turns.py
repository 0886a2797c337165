from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from service.index.turns import Turns

Taken = Callable[[Turns], AbstractContextManager[None]]
TAKEN = pytest.mark.parametrize("taken", [lambda turns: turns, Turns.shared], ids=["alone", "shared"])


def until_next(turns: Turns, waiting: threading.Thread) -> None:
    """Until it is a thread's turn next, so that it cannot be anybody else's; or until the thread has ended."""
    while waiting.is_alive() and turns._next.acquire(blocking=False):
        turns._next.release()


def waiter(turns: Turns, taken: Taken) -> tuple[threading.Thread, threading.Event]:
    """A thread that takes it, not yet started, and what is set when it had it."""
    had = threading.Event()

    def wait() -> None:
        with taken(turns):
            had.set()

    return threading.Thread(target=wait), had


@TAKEN
def test_nobody_has_it_while_one_has_it_alone(taken: Taken) -> None:
    turns = Turns()
    waiting, had = waiter(turns, taken)
    with turns:
        waiting.start()
        until_next(turns, waiting)
        assert not had.is_set()
    waiting.join(30)
    assert had.is_set()


@TAKEN
def test_who_waits_has_it_before_who_had_it_takes_it_again(taken: Taken) -> None:
    turns = Turns()
    waiting, had = waiter(turns, taken)
    with turns:
        waiting.start()
        until_next(turns, waiting)
    with turns:
        assert had.is_set()
    waiting.join(30)


@TAKEN
def test_it_is_free_again_after_an_error(taken: Taken) -> None:
    turns = Turns()
    try:
        with taken(turns):
            raise ValueError
    except ValueError:
        pass
    with turns:
        pass


def test_several_share_it_at_once() -> None:
    turns, together = Turns(), threading.Barrier(3, timeout=30)
    met = []

    def read() -> None:
        with turns.shared():
            met.append(together.wait())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(met) == 3


def test_who_waits_to_have_it_alone_has_it_before_anybody_shares_it_again() -> None:
    turns, had = Turns(), threading.Event()

    def wait() -> None:
        with turns:
            had.set()

    waiting = threading.Thread(target=wait)
    with turns.shared():
        waiting.start()
        until_next(turns, waiting)
        assert not had.is_set()
    with turns.shared():
        assert had.is_set()
    waiting.join(30)
