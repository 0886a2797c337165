from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from models.bench import plots

CURVES = {"EMMA as built": [(2, 80.0), (5, 83.0)], "RE-Matching & more": [(2, 78.0), (5, 78.5)]}
SPREAD = {"EMMA as built": [(5, 90.0, 1.5), (10, 84.0, 2.0)], "[H,T]": [(5, 80.0, 3.0), (10, 70.0, 0.0)]}
RISKS = {"Re-DocRED": [(0.1, 0.0), (1.0, 0.4)], "withheld": [(0.1, 0.1), (1.0, 0.6)]}
COSTS = {"EMMA as built": (40.0, 83.0), "ZS-BERT": (8.0, 60.0)}
BINS = {"before": [(0.3, 0.1, 40), (0.9, 0.7, 60)], "after": [(0.2, 0.2, 50), (0.8, 0.75, 50)]}
RELATIONS = ["follows", "followed by", "part of"]
SHARES = np.array([[61.4, 30.0, 0.2], [25.0, 70.0, 0.0], [0.0, 4.0, 88.0]])

DRAWN: dict[str, Callable[[Path], None]] = {
    "k": lambda path: plots.f1_against_k(CURVES, path),
    "unseen": lambda path: plots.f1_against_unseen(SPREAD, path),
    "risk": lambda path: plots.risk_coverage(RISKS, path),
    "confusion": lambda path: plots.confusion(RELATIONS, SHARES, path),
    "cost": lambda path: plots.f1_against_cost(COSTS, path),
    "reliability": lambda path: plots.reliability(BINS, path),
}


def texts(path: Path) -> list[str]:
    """Every text of an SVG file."""
    found = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    return ["".join(x.itertext()) for x in found]


def drawn(name: str, folder: Path) -> list[str]:
    path = folder / f"{name}.svg"
    DRAWN[name](path)
    return texts(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("k", ["F1 by the number of candidates", "F1 (percent)", "2", "5", *CURVES]),
        ("unseen", ["F1 (percent), mean ± standard deviation", "unseen relations, m", "5", "10", *SPREAD]),
        ("risk", ["Wrong answers by coverage", "risk: wrong answers among them (share)", *RISKS]),
        ("confusion", ["Relations that are confused most", "answer", *RELATIONS, "61", "30", "4"]),
        ("cost", ["F1 by processor time", "CPU time for each sentence (milliseconds)", "10", *COSTS]),
        ("reliability", ["confidence (mean of the bin)", "perfectly calibrated", *BINS]),
    ],
)
def test_title_axes_and_names_are_text(name: str, expected: list[str], tmp_path: Path) -> None:
    assert set(expected) <= set(drawn(name, tmp_path))


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_data_make_the_same_bytes(name: str, tmp_path: Path) -> None:
    first, again = tmp_path / "first.svg", tmp_path / "again.svg"
    DRAWN[name](first)
    DRAWN["k"](tmp_path / "between.svg")
    DRAWN[name](again)
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", DRAWN)
def test_settings_of_the_user_change_nothing(name: str, tmp_path: Path) -> None:
    first, again = tmp_path / "first.svg", tmp_path / "again.svg"
    DRAWN[name](first)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False}):
        DRAWN[name](again)
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_leaves_the_settings_as_they_are(name: str, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    DRAWN[name](tmp_path / "x.svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", DRAWN)
def test_a_given_title_takes_the_place_of_the_usual_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    draw: dict[str, Callable[..., None]] = {
        "k": lambda **given: plots.f1_against_k(CURVES, path, **given),
        "unseen": lambda **given: plots.f1_against_unseen(SPREAD, path, **given),
        "risk": lambda **given: plots.risk_coverage(RISKS, path, **given),
        "confusion": lambda **given: plots.confusion(RELATIONS, SHARES, path, **given),
        "cost": lambda **given: plots.f1_against_cost(COSTS, path, **given),
        "reliability": lambda **given: plots.reliability(BINS, path, **given),
    }
    draw[name](title="FewRel, 15 unseen")
    assert "FewRel, 15 unseen" in texts(path)


@pytest.mark.parametrize(
    "draw", [plots.f1_against_k, plots.f1_against_unseen, plots.risk_coverage, plots.f1_against_cost, plots.reliability]
)
def test_no_data_are_refused_and_nothing_is_written(draw: Callable[[Any, Path], None], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing to draw in x.svg: no data are given"):
        draw({}, tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", [plots.f1_against_k, plots.f1_against_unseen, plots.risk_coverage, plots.reliability])
def test_a_series_without_points_is_named(draw: Callable[[Any, Path], None], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing to draw in x.svg of ZS-BERT: no points are given"):
        draw({"ZS-BERT": []}, tmp_path / "x.svg")


def test_no_relations_are_no_confusion_plot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing to draw in x.svg: no relation is given"):
        plots.confusion([], np.zeros((0, 0)), tmp_path / "x.svg")


@pytest.mark.parametrize(("n", "shape"), [(16, (16, 16)), (3, (3, 2)), (3, (2, 2))])
def test_a_confusion_plot_takes_a_square_of_up_to_15_relations(n: int, shape: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"got {n} labels and shape {shape}")):
        plots.confusion([str(i) for i in range(n)], np.zeros(shape), tmp_path / "x.svg")


def test_cells_that_round_to_nothing_stay_empty(tmp_path: Path) -> None:
    assert sorted(x for x in drawn("confusion", tmp_path) if x.isdigit()) == ["25", "30", "4", "61", "70", "88"]


def test_relations_that_are_never_confused_can_be_drawn(tmp_path: Path) -> None:
    plots.confusion(["a", "b"], np.zeros((2, 2)), tmp_path / "x.svg")
    assert {"a", "b"} <= set(texts(tmp_path / "x.svg"))


def test_points_need_not_be_in_order(tmp_path: Path) -> None:
    first, again = tmp_path / "first.svg", tmp_path / "again.svg"
    plots.f1_against_k(CURVES, first)
    plots.f1_against_k({name: points[::-1] for name, points in CURVES.items()}, again)
    assert first.read_bytes() == again.read_bytes()


def test_one_point_alone_can_be_drawn(tmp_path: Path) -> None:
    plots.f1_against_unseen({"a": [(15, 80.0, 0.0)]}, tmp_path / "m.svg")
    plots.f1_against_cost({"a": (8.0, 80.0)}, tmp_path / "cost.svg")
    assert "15" in texts(tmp_path / "m.svg")
    assert "a" in texts(tmp_path / "cost.svg")


@pytest.mark.parametrize("cost", [0.0, -1.0])
def test_a_time_that_has_no_place_on_a_logarithmic_axis_is_refused(cost: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give times over 0 ms"):
        plots.f1_against_cost({"a": (cost, 80.0)}, tmp_path / "x.svg")
