"""The plots of the serving figures, as SVG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.serving.table import Row
from models.bench.drawing import legend, line, marker, plot


def latency_against_load(rows: Sequence[Row], path: Path) -> None:
    """Draw the percentiles of latency against the offered load, medians of the repeats.

    Args:
        rows: of `benchmarks.serving.http.latency`.
        path: of the SVG file.
    """
    across, up = "offered load (percent of what it can bear)", "latency (milliseconds)"
    with plot(path, "Latency by offered load", across, up) as axes:
        load = [100 * row["share"] for row in rows]
        for i, p in enumerate((50, 90, 99)):
            heights = [float(np.median(row[f"p{p}_ms"])) for row in rows]
            axes.plot(load, heights, label=f"{p}% are sooner", marker=marker(i), **line(i))
        unloaded = float(np.median([x for row in rows for x in row["unloaded_p50_ms"]]))
        axes.axhline(unloaded, label="median, one at a time", **line(3) | {"linestyle": "--"})
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        legend(axes)


def cost_against_relations(rows: Sequence[Row], path: Path) -> None:
    """Draw the cost of an extraction and of reading every relation against their number, medians of the repeats.

    Args:
        rows: of `benchmarks.serving.model.Bench.against_every`.
        path: of the SVG file.
    """
    across, up = "relations", "CPU time of a sentence (milliseconds)"
    with plot(path, "Cost by the number of relations", across, up) as axes:
        counts = [row["relations"] for row in rows]
        series = (("extraction_ms", "EMMA"), ("every_ms", "reading every relation"))
        for i, (column, name) in enumerate(series):
            axes.plot(counts, [float(np.median(row[column])) for row in rows], label=name, marker=marker(i), **line(i))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,.0f}")
        legend(axes)
