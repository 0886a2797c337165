"""How the plots look, how they are written, and what several of them need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

GREY = "#777777"

# Okabe and Ito's colours, which are told apart with every kind of colour vision, without the yellow, which is too
# faint for a line on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_DASHES = ("-", "--", ":")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    # Else the ids within the file are drawn anew each time.
    "svg.hashsalt": "emma",
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "legend.frameon": False,
}


@contextmanager
def plot(path: Path, title: str, across: str, up: str, size: tuple[float, float] = (5.4, 3.6)) -> Iterator[Axes]:
    """Axes to draw on, which are written to an SVG file when all went well.

    Args:
        path: of the file.
        title: above the plot.
        across: what the horizontal axis shows, with its unit.
        up: what the vertical axis shows, with its unit.
        size: width and height of the axes in inches; the picture is as much larger as what stands beside them needs.
    """
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1), title=title, xlabel=across, ylabel=up)
        yield axes
        figure.savefig(
            path, format="svg", bbox_inches="tight", pad_inches=0.12, metadata={"Date": None, "Creator": None}
        )


def colour(i: int) -> str:
    """Of the i-th series."""
    return _COLOURS[i % len(_COLOURS)]


def marker(i: int) -> str:
    """Of the i-th series."""
    return _MARKERS[i % len(_MARKERS)]


def line(i: int) -> dict[str, Any]:
    """Colour and dashes of the i-th series, different for each of 21."""
    return {"color": colour(i), "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}


def legend(axes: Axes, title: str | None = None) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.0), borderaxespad=0, title=title, alignment="left")
