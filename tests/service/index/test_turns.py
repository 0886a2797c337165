from __future__ import annotations

import threading

from service.index.turns import Turns


def test_one_at_a_time_has_it() -> None:
    turns, inside, most = Turns(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (most, inside) == (1, 0)


def test_who_waits_has_it_before_who_had_it_takes_it_again() -> None:
    turns, had = Turns(), threading.Event()

    def wait() -> None:
        with turns:
            had.set()

    waiting = threading.Thread(target=wait)
    with turns:
        waiting.start()
        # Until the other one is next: this one could not be, then.
        while turns._next.acquire(blocking=False):
            turns._next.release()
    with turns:
        assert had.is_set()
    waiting.join(30)


def test_it_is_free_again_after_an_error() -> None:
    turns = Turns()
    try:
        with turns:
            raise ValueError
    except ValueError:
        pass
    with turns:
        pass
