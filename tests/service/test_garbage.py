from __future__ import annotations

import subprocess
import sys

from service.garbage import THRESHOLDS


def printed(code: str) -> list[str]:
    """What a process of its own prints: the test's must collect as it did."""
    done = subprocess.run(
        [sys.executable, "-c", f"import gc\nfrom service.garbage import collect_rarely\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_what_is_there_already_is_left_out_of_collections() -> None:
    code = "kept = [[] for _ in range(1000)]\ncollect_rarely()\nprint(gc.get_freeze_count(), len(gc.get_objects()))"
    frozen, looked_at = map(int, printed(code))
    assert frozen > 1000 > looked_at


def test_what_is_made_later_is_still_collected() -> None:
    code = "collect_rarely()\nring = []\nring.append(ring)\ndel ring\nprint(gc.isenabled(), gc.collect())"
    assert printed(code) == ["True", "1"]


def test_new_objects_are_looked_at_in_larger_portions() -> None:
    assert printed("collect_rarely()\nprint(*gc.get_threshold())") == [str(x) for x in THRESHOLDS]
