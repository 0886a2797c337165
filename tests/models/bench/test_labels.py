from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from models.bench.labels import name_points


def named(points: dict[str, tuple[float, float]]) -> tuple[Bbox, dict[str, Bbox], dict[str, tuple[float, float]]]:
    """The axes, the names and the points after the names were written, in pixels."""
    figure = Figure(figsize=(7, 4))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*points.values(), strict=True), "o")
    axes.margins(0.15)
    name_points(axes, points)
    figure.draw_without_rendering()
    # Of the text alone: an annotation's own extent takes in its line.
    boxes = {x.get_text(): Text.get_window_extent(x) for x in axes.texts}
    return axes.get_window_extent(), boxes, {name: tuple(axes.transData.transform(x)) for name, x in points.items()}


def test_a_name_alone_stands_right_of_its_point() -> None:
    _, boxes, points = named({"alone": (1.0, 1.0)})
    assert boxes["alone"].x0 > points["alone"][0]
    assert boxes["alone"].y0 < points["alone"][1] < boxes["alone"].y1


def test_a_name_at_the_right_edge_stays_within_the_axes() -> None:
    within, boxes, _ = named({"first": (0.0, 0.0), "a name of a good length": (1.0, 1.0)})
    for box in boxes.values():
        assert within.x0 <= box.x0 < box.x1 <= within.x1


def test_names_of_close_points_do_not_overlap() -> None:
    draw = np.random.default_rng(3)
    crowd = {f"method number {i}": (float(x), float(y)) for i, (x, y) in enumerate(draw.normal(size=(14, 2)))}
    _, boxes, _ = named(crowd)
    assert len(boxes) == 14
    assert not [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])]


def test_names_of_equal_points_do_not_overlap() -> None:
    _, boxes, _ = named({"one": (1.0, 1.0), "other": (1.0, 1.0), "far": (2.0, 2.0)})
    assert not boxes["one"].overlaps(boxes["other"])
