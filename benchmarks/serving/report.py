"""The page of the serving figures and its plots, made from the results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import plots
from benchmarks.serving.goals import GOALS
from benchmarks.serving.result import Result, read_results
from benchmarks.serving.table import Row, said, table

Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Section:
    """A result's place on the page: its heading, and how to read its table."""

    result: str
    title: str
    text: str


SECTIONS = (
    Section(
        "overhead",
        "The service's own part",
        "CPU milliseconds of an answer to 32 clients, beside those in process (`bare_ms`), by turns: of the same "
        "reading by as many threads, and of infinity's at the best of three sizes of a batch. infinity serves the same "
        "encoder's states, without classifier, from the same graph; what can be compared is `added_ms`.",
    ),
    Section(
        "every",
        "Against reading every relation",
        "CPU milliseconds of a sentence. `every_ms`: each relation's description is read with the sentence by recall's "
        "encoder, of the same size and precision, in batches, as PromptMatch does, but without its opening phrase.",
    ),
    Section(
        "growth",
        "By the number of relations",
        "Median milliseconds over the sentences. The first time, most candidates' descriptions have not been read for "
        "the classifier yet; of those read last the runtime keeps 64 MiB.",
    ),
    Section(
        "stages",
        "The classifier's bill",
        "CPU milliseconds of a sentence alone: tokenizing and recall (k = 0), and the classifier besides.",
    ),
    Section(
        "batches",
        "Batches",
        "Milliseconds of a sentence on one thread; a batch of 1 is a plain loop over the sentences.",
    ),
    Section(
        "sharing",
        "One reading for all processors, or one for each",
        "Milliseconds of a sentence: `at_once` batches are read at a time, each with `threads_each` threads and `rows` "
        "sentences. The service reads one sentence with each processor.",
    ),
    Section("speed", "8 bits against fp32: time", "Wall milliseconds of an extraction, the two by turns."),
    Section("company", "8 bits: the same answer in any company", "Scores of all candidates, alone and in a batch."),
    Section(
        "accuracy",
        "8 bits against fp32: F1",
        "By the paper's metric, on the split's test part. `standard_error` is that of the difference, by drawing the "
        "sentences anew.",
    ),
    Section(
        "systems",
        "Other runtimes",
        "Milliseconds of recall and classifier, all k candidates read, on the same batches; EMMA's rows have the "
        "laying out of the candidates besides.",
    ),
    Section(
        "latency",
        "Latency at a constant rate",
        "Milliseconds from when a request was due. ![Latency by offered load](plots/latency-against-load.svg)",
    ),
    Section("overload", "Overload", "Twice what it was found to bear, at a constant rate."),
    Section("soak", "Memory", "After each round of batches of 1 to 63 sentences, short and long ones apart."),
    Section(
        "start",
        "Start",
        "With registered relations. A start that encoded their descriptions again would take the processor time that "
        "registering took.",
    ),
    Section(
        "search",
        "Search",
        "Milliseconds of a query on one thread, medians of five groups of queries; vectors drawn around those of "
        "real descriptions, queries of real sentences; recall@10 against the exact search. The service searches `flat` "
        "up to 5,000 relations and `as served` beyond.",
    ),
)


def write(folder: Path, output: Path) -> int:
    """Write the Markdown file and, into `plots` beside it, the plots; the number of plots.

    Raises:
        benchmarks.serving.result.ResultError: a file of the folder is no result.
    """
    results = read_results(folder)
    lines = [
        "<!-- Made by `python -m benchmarks.serving report`: change the results or report.py, not this file. -->",
        "# What serving costs and how it bears load\n",
        "Of repeated measurements the median stands here, and the least and the largest in brackets. Absolute paths "
        "in commands are told by their last part; `serving.sh` runs them all.\n",
        *_goals(results),
    ]
    for section in SECTIONS:
        if section.result in results:
            lines += section_lines(section, results[section.result])
    lines += machines(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _plots(results, output.parent / "plots")


def _goals(results: Results) -> list[str]:
    lines = ["| measured | figure | goal | met |", "|---|---:|---:|---|"]
    for goal in GOALS:
        figure = goal.figure(results)
        told, met = ("–", "not measured") if figure is None else (said(figure), "yes" if goal.met(figure) else "no")
        lines.append(f"| {goal.said} | {told} | {goal.bound()} | {met} |")
    return [*lines, ""]


def section_lines(section: Section, result: Result) -> list[str]:
    """A section of a page."""
    return [f"## {section.title}\n", f"{section.text}\n", table(result.rows), f"\n```\n{result.command}\n```\n"]


def machines(results: Results) -> list[str]:
    """What each of the results was measured on."""
    by_machine: dict[str, list[str]] = {}
    for result in results.values():
        by_machine.setdefault(result.machine, []).append(result.name)
    if len(by_machine) == 1:
        return [f"Machine: {next(iter(by_machine))}."]
    return [f"Machine of {', '.join(names)}: {name}." for name, names in by_machine.items()]


def _plots(results: Results, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    drawn: tuple[tuple[str, Callable[[Sequence[Row], Path], None], str], ...] = (
        ("latency", plots.latency_against_load, "latency-against-load"),
        ("every", plots.cost_against_relations, "cost-against-relations"),
    )
    there = [x for x in drawn if x[0] in results]
    for name, draw, file in there:
        draw(results[name].rows, folder / f"{file}.svg")
    return len(there)
