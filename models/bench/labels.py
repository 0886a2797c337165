"""Names at the points of a plot, so placed that they can be read and told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from models.bench.drawing import GREY

FONT_SIZE = 9
_DISTANCES = (6, 12, 20, 30, 42, 56)
"""Of a name from its point, in points of 1/72 inch; beyond the first, a line leads to it."""

_DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7))
_ROUNDS = 6
_ACROSS: dict[float, Literal["left", "center", "right"]] = {0.0: "left", 0.5: "center", 1.0: "right"}
_UP: dict[float, Literal["bottom", "center", "top"]] = {0.0: "bottom", 0.5: "center", 1.0: "top"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name may stand: its offset from the point in points, its box and the line to it in pixels."""

    offset: tuple[float, float]
    box: Bbox
    leader: Path


def name_points(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name as near to its point as nothing else stands in the way, with a line to it if that is far.

    The names are placed one after the other, each where it costs least, in rounds until none moves.

    Args:
        axes: with everything else drawn, at their final limits.
        points: data coordinates by name.
    """
    figure = axes.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise TypeError("the axes belong to no figure")
    # Only what was drawn once can be measured.
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    within = axes.get_window_extent()
    centres = [axes.transData.transform(point) for point in points.values()]
    # A name keeps further from the other points than from its own, or it would be taken for theirs.
    around = 1.5 * _DISTANCES[0] * pixels
    halos = [Bbox.from_extents(x - around, y - around, x + around, y + around) for x, y in centres]
    choices = [_places(x, y, _size(axes, name), pixels) for name, (x, y) in zip(points, centres, strict=True)]
    chosen: dict[int, _Place] = {}
    for _ in range(_ROUNDS):
        before = dict(chosen)
        for i, places in enumerate(choices):
            others = [place for j, place in chosen.items() if j != i]
            costs = [_cost(place, halos[:i] + halos[i + 1 :], others, within) for place in places]
            # Of places that cost the same the first, which is the nearest.
            chosen[i] = places[costs.index(min(costs))]
        if chosen == before:
            break
    for i, name in enumerate(points):
        _annotate(axes, name, points[name], chosen[i].offset)


def _size(axes: Axes, name: str) -> Bbox:
    text = axes.text(0, 0, name, fontsize=FONT_SIZE)
    size = text.get_window_extent()
    text.remove()
    return size


def _places(x: float, y: float, size: Bbox, pixels: float) -> list[_Place]:
    """The places for a name of this size at a point, the nearest first."""
    found = []
    for distance, (across, up) in product(_DISTANCES, _DIRECTIONS):
        start = x + distance * pixels * across, y + distance * pixels * up
        left, bottom = start[0] - size.width * _anchor(across), start[1] - size.height * _anchor(up)
        box = Bbox.from_bounds(left, bottom, size.width, size.height)
        found.append(_Place((distance * across, distance * up), box, Path([(x, y), start])))
    return found


def _cost(place: _Place, halos: Sequence[Bbox], others: Sequence[_Place], within: Bbox) -> float:
    """How much a place hides, in square pixels; a name on a name counts most, a line across a name half of that."""
    area = place.box.width * place.box.height
    outside = area - _shared(place.box, within)
    names = sum(_shared(place.box, other.box) for other in others)
    crossed = sum(place.leader.intersects_bbox(x.box) + x.leader.intersects_bbox(place.box) for x in others)
    near = sum(_shared(place.box, halo) for halo in halos) + sum(area * _through(place.leader, x) for x in halos) / 4
    return 4 * (outside + names) + 2 * area * crossed + near


def _through(leader: Path, halo: Bbox) -> bool:
    """Whether a line goes over a point, of which only the middle of its halo counts."""
    return leader.intersects_bbox(halo.expanded(0.4, 0.4))


def _shared(box: Bbox, other: Bbox) -> float:
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return float(max(0.0, width) * max(0.0, height))


def _anchor(direction: float) -> float:
    """The side of a name, from 0 to 1, that is turned to its point."""
    return 0.5 - 0.5 * (math.copysign(1, direction) if direction else 0.0)


def _annotate(axes: Axes, name: str, point: tuple[float, float], offset: tuple[float, float]) -> None:
    anchor = _anchor(offset[0]), _anchor(offset[1])
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4, "relpos": anchor}
    axes.annotate(
        name,
        point,
        offset,
        textcoords="offset points",
        fontsize=FONT_SIZE,
        ha=_ACROSS[anchor[0]],
        va=_UP[anchor[1]],
        arrowprops=leader if math.hypot(*offset) > _DISTANCES[0] else None,
    )
