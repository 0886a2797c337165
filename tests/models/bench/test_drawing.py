from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from models.bench.drawing import colour, line, marker, plot


def test_21_series_look_different() -> None:
    assert len({tuple(line(i).values()) for i in range(21)}) == 21


def test_points_of_neighbouring_series_differ_in_colour_and_shape() -> None:
    for i, j in combinations(range(7), 2):
        assert colour(i) != colour(j)
        assert marker(i) != marker(j)


def test_a_plot_that_fails_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), plot(tmp_path / "x.svg", "title", "across", "up"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_dollar_signs_are_no_formulas(tmp_path: Path) -> None:
    with plot(tmp_path / "x.svg", "from $5 to $6", "across", "up"):
        pass
    assert "from $5 to $6" in (tmp_path / "x.svg").read_text(encoding="utf-8")
