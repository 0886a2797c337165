from __future__ import annotations

import numpy as np

from service.index.among import Among


def test_its_numbers_are_those_of_any_group_once_and_in_rising_order() -> None:
    among = Among({"x": {5, 2}, "y": {5, 1}})
    assert among.numbers().tolist() == [1, 2, 5]
    assert len(among) == 4


def test_a_number_is_told_that_any_group_has() -> None:
    among = Among({"x": {5, 2}, None: {7}})
    assert among.has(np.array([7, 3, 2])).tolist() == [True, False, True]


def test_of_no_group_nothing_is_there() -> None:
    none = Among({})
    assert (len(none), none.numbers().tolist(), none.has(np.array([1])).tolist()) == (0, [], [False])
