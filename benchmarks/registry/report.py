"""The page of the registry's figures, made from the results alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.serving.report import Section, machines, section_lines
from benchmarks.serving.result import read_results

SECTIONS = (
    Section(
        "million",
        "A million relations",
        "In SQLite, in this order, in one process. Vectors drawn around those of real descriptions, queries of real "
        "sentences, one search after the other; k = 10. `fill` writes through the registry, a thousand relations at "
        "once, vectors and all, but encodes nothing. Memory is of the whole process.",
    ),
    Section(
        "visible",
        "From one service to the other",
        "Two services on one PostgreSQL: milliseconds from the 201 of one until the other, asked again and again, has "
        "the new version. `asking_ms` is what one such question takes.",
    ),
    Section(
        "registrations",
        "Registrations",
        "Over HTTP, with the model on the same processors: relations a second, each description encoded, and "
        "milliseconds of a request.",
    ),
)


def write(folder: Path, output: Path) -> None:
    """Write the Markdown file.

    Raises:
        benchmarks.serving.result.ResultError: a file of the folder is no result.
    """
    results = read_results(folder)
    lines = [
        "<!-- Made by `python -m benchmarks.registry report`: change the results or report.py, not this file. -->",
        "# What the registry costs\n",
        "Of repeated measurements the median stands here, and the least and the largest in brackets. Absolute paths in "
        "commands are told by their last part.\n",
    ]
    for section in SECTIONS:
        if section.result in results:
            lines += section_lines(section, results[section.result])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join([*lines, *machines(results)]) + "\n", encoding="utf-8")
