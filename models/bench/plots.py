"""The plots of the comparison, as SVG files.

The same data make the same file to the byte with the same matplotlib. Text stays text, so that it can be searched
and read aloud. No function touches matplotlib's current figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import LogLocator

from models.bench.drawing import GREY, colour, legend, line, marker, plot
from models.bench.labels import name_points

MOST_CONFUSED = 15
"""Most relations of a confusion plot, beyond which its cells cannot be read."""


def f1_against_k(
    series: Mapping[str, Sequence[tuple[int, float]]], path: Path, title: str = "F1 by the number of candidates"
) -> None:
    """Draw F1 against k.

    Args:
        series: points (k, F1 in percent) by a method's title.
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no method, or one has no point.
    """
    _require(series, path)
    with plot(path, title, "candidates that are read with the sentence, k", "F1 (percent)") as axes:
        for i, (name, points) in enumerate(series.items()):
            axes.plot(*_columns(sorted(points)), label=name, marker=marker(i), **line(i))
        axes.set_xticks(sorted({k for points in series.values() for k, _ in points}))
        legend(axes)


def f1_against_unseen(
    series: Mapping[str, Sequence[tuple[int, float, float]]],
    path: Path,
    title: str = "F1 by the number of unseen relations",
) -> None:
    """Draw F1 against m, with its spread over the splits.

    Args:
        series: points (m, mean F1 in percent, its standard deviation) by a method's title.
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no method, or one has no point.
    """
    _require(series, path)
    ticks = sorted({m for points in series.values() for m, _, _ in points})
    # Beside each other, so that the bars of methods that are equally good can be told apart.
    step = min((b - a for a, b in pairwise(ticks)), default=1)
    gap = step * min(0.03, 0.4 / len(series))
    with plot(path, title, "unseen relations, m", "F1 (percent), mean ± standard deviation") as axes:
        for i, (name, points) in enumerate(series.items()):
            m, mean, spread = _columns(sorted(points))
            places = np.array(m) + gap * (i - (len(series) - 1) / 2)
            axes.errorbar(places, mean, yerr=spread, label=name, marker=marker(i), capsize=2, elinewidth=1, **line(i))
        axes.set_xticks(ticks)
        axes.grid(visible=False, axis="x")
        legend(axes)


def risk_coverage(
    curves: Mapping[str, Sequence[tuple[float, float]]], path: Path, title: str = "Wrong answers by coverage"
) -> None:
    """Draw risk–coverage curves.

    Args:
        curves: points (coverage, risk), both 0 to 1, by name.
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no curve, or one has no point.
    """
    _require(curves, path)
    across, up = "coverage: pairs answered, surest first (share)", "risk: wrong answers among them (share)"
    with plot(path, title, across, up) as axes:
        for i, (name, points) in enumerate(curves.items()):
            # So many points need no markers.
            axes.plot(*_columns(sorted(points)), label=name, **line(i))
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        legend(axes)


def confusion(
    labels: Sequence[str],
    shares: npt.NDArray[np.float64],
    path: Path,
    title: str = "Relations that are confused most",
) -> None:
    """Draw a confusion matrix as a heat map; cells that round to 0 stay empty.

    Args:
        labels: names of at most 15 relations.
        shares: percent of a true relation's sentences (row) that were given an answer (column), of shape
            (relations, relations).
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no relation or too many, or the matrix has another shape than (labels, labels).
    """
    n = len(labels)
    if not n:
        raise ValueError(f"nothing to draw in {path.name}: no relation is given")
    if n > MOST_CONFUSED or np.shape(shares) != (n, n):
        raise ValueError(
            f"{path.name} takes up to {MOST_CONFUSED} relations and a square of their confusions, "
            f"got {n} labels and shape {np.shape(shares)}"
        )
    size = (0.48 * n, 0.42 * n)
    with plot(path, title, "answer", "true relation (percent of its sentences)", size) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(1.0, float(np.max(shares))), aspect="auto")
        dark = 0.55 * float(np.max(shares))
        for row, column in product(range(n), range(n)):
            value = float(shares[row][column])
            if value >= 0.5:
                ink = "white" if value > dark else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=9, color=ink)
        axes.set_xticks(range(n), labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), labels)
        axes.set_xticks(np.arange(0.5, n - 1), minor=True)
        axes.set_yticks(np.arange(0.5, n - 1), minor=True)
        axes.grid(visible=False)
        axes.grid(visible=True, which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)


def f1_against_cost(points: Mapping[str, tuple[float, float]], path: Path, title: str = "F1 by processor time") -> None:
    """Draw F1 against the time that an answer takes, on a logarithmic axis, each point with its name.

    Args:
        points: (CPU milliseconds for each sentence, F1 in percent) by a method's title.
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no method, or a time is not positive.
    """
    _require(points, path)
    if min(cost for cost, _ in points.values()) <= 0:
        raise ValueError(f"{path.name} has a logarithmic axis: give times over 0 ms")
    with plot(path, title, "CPU time for each sentence (milliseconds)", "F1 (percent)", (7.2, 4.4)) as axes:
        axes.set_xscale("log")
        for i, point in enumerate(points.values()):
            axes.plot(*point, linestyle="none", marker=marker(i), markersize=7, color=colour(i))
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(LogLocator(subs=[]))
        axes.margins(x=0.15, y=0.15)
        name_points(axes, points)


def reliability(
    diagrams: Mapping[str, Sequence[tuple[float, float, int]]],
    path: Path,
    title: str = "Confidence and share of right answers",
) -> None:
    """Draw a reliability diagram, such as before and after calibration.

    Args:
        diagrams: bins (mean confidence, share of right answers, number of answers) by name, shares 0 to 1.
        path: of the SVG file.
        title: above the plot.

    Raises:
        ValueError: there is no diagram, or one has no bin.
    """
    _require(diagrams, path)
    across, up = "confidence (mean of the bin)", "right answers (share of the bin)"
    with plot(path, title, across, up, (4.0, 4.0)) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfectly calibrated")
        for i, (name, bins) in enumerate(diagrams.items()):
            confidence, right, count = _columns(sorted(bins))
            axes.plot(confidence, right, color=colour(i), label=name, marker=marker(i), markersize=3.5)
            area = 1600 * np.array(count) / sum(count)
            axes.scatter(confidence, right, s=area, color=colour(i), alpha=0.3, linewidths=0, clip_on=False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        legend(axes, "the larger a disc, the more answers")


def _require(series: Mapping[str, Sequence[object]], path: Path) -> None:
    if not series:
        raise ValueError(f"nothing to draw in {path.name}: no data are given")
    empty = [name for name, points in series.items() if not points]
    if empty:
        raise ValueError(f"nothing to draw in {path.name} of {', '.join(empty)}: no points are given")


def _columns(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return list(zip(*points, strict=True))
