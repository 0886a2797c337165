"""The tables and plots of the zero-shot comparison, made from its cells alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.baselines.emma import BOTH, RECALL
from models.bench import plots
from models.bench.cells import Cell, headline, judged_by, own_descriptions, read_cells
from models.bench.methods import METHODS
from models.bench.published import QUOTED

MOST_CONFUSED = 10
SPLITS = {
    f"{dataset}_m{unseen}_seed{seed}"
    for dataset, seeds in (("fewrel", ("ori", 40, 41, 42, 43)), ("wikizsl", (40, 41, 42, 43, 44)))
    for unseen in (5, 10, 15)
    for seed in seeds
}
NAMES = {"fewrel": "FewRel", "wikizsl": "Wiki-ZSL"}


def write(folder: Path, output: Path) -> int:
    """Write the Markdown file and, into `plots` beside it, the plots; the number of plots.

    Raises:
        DataError: there are no cells.
    """
    cells = read_cells(folder)
    output.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(
        [
            "<!-- Made by `emma bench report`: change the cells or models/bench/report.py, not this file. -->",
            "# Zero-shot relation extraction: methods side by side\n",
            *_against_published(cells),
            *(line for split in dict.fromkeys(x["split"] for x in cells) for line in _split(cells, split)),
            *_ablations(cells),
            *_open_set(cells),
            *_awaiting(cells),
            *_commands(cells),
        ]
    )
    output.write_text(text + "\n", encoding="utf-8")
    return _plots(cells, output.parent / "plots")


def _against_published(cells: Sequence[Cell]) -> list[str]:
    columns = [(name, m) for name in ("fewrel", "wikizsl") for m in (5, 10, 15)]
    found: defaultdict[str, defaultdict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        for described in judged_by(cell):
            title = cell["title"] + (", our descriptions" if described == "catalogue" else "")
            found[title][cell["dataset"], cell["unseen"]].append(headline(cell, described)["paper"]["f1"])
    lines = [
        "## F1 by the paper's metric, and the published figures\n",
        "Mean over the seeds there are, ± their standard deviation, and how many; what each seed gave stands below. "
        "The quoted rows are of BERT-base or larger; ours are of the encoder that the recipe names.\n",
        "| method | " + " | ".join(f"{NAMES[name]} {m}" for name, m in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for quoted in QUOTED:
        values = [f"{quoted.f1[x]:.2f}" if x in quoted.f1 else "–" for x in columns]
        lines.append(f"| *{quoted.title}; {quoted.source}* | " + " | ".join(values) + " |")
    for title, by_column in found.items():
        lines.append(f"| {title} | " + " | ".join(_mean(by_column.get(x, [])) for x in columns) + " |")
    return [*lines, ""]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.2f} ({len(values)})" if len(values) > 1 else " (1)"
    return f"{np.mean(values):.2f}{spread}"


def _files(cells: Sequence[Cell]) -> str:
    """Who was trained on what."""
    titles: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for cell in cells:
        titles[tuple(cell["trained_on"]["files"])].append(cell["title"])
    said = [f"Trained on {', '.join(files)}: {'; '.join(made)}." for files, made in titles.items()]
    left_out = {
        f"{cell['title']} has no pre-training: {row['left_out']}."
        for cell in cells
        for row in cell["history"]
        if "left_out" in row
    }
    return " ".join([*said, *sorted(left_out)])


def _split(cells: Sequence[Cell], split: str) -> list[str]:
    chosen = [x for x in cells if x["split"] == split]
    test = chosen[0]["test"]
    missing = f"; missing from the data at hand: {test['missing']}" if test["missing"] else ""
    drawn = f", at most {test['per_relation']} of a relation" if test["per_relation"] else ""
    lines = [
        f"## {split}\n",
        f"{test['instances']:,} test instances{drawn}, {chosen[0]['unseen']} unseen relations{missing}. The standard "
        f"error is that of scikit-learn's F1 over draws of the test instances. "
        f"{_files(chosen)}\n",
        "| method | related pairs trained on, of relations "
        "| descriptions | answers by | k | P, paper | R, paper | F1, paper | F1, scikit-learn "
        "| ± | ms a sentence |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in chosen:
        seen = cell["trained_on"]
        trained = f"{seen['related']:,} of {seen['relations']}"
        if seen["for"] != split:
            trained += f", for {seen['for']}"
        for row in (x for x in cell["rows"] if "paper" in x):
            paper = " | ".join(f"{row['paper'][x]:.2f}" for x in ("precision", "recall", "f1"))
            lines.append(
                f"| {cell['title']} | {trained} | {row['descriptions']} | {row['variant']} | {row['k'] or ''} "
                f"| {paper} | {row['sklearn']['f1']:.2f} | {row['standard_error']:.2f} "
                f"| {row['cpu_ms_per_sentence']:.1f} |"
            )
    lines += ["", "The true relation among the first k:\n", "| method | descriptions | 1 | 2 | 3 | 5 | 10 |"]
    lines.append("|---|---|" + "---:|" * 5)
    for cell in chosen:
        for row in (x for x in cell["rows"] if "recall_at" in x):
            ranks = " | ".join(f"{row['recall_at'][str(k)]:.1f}" for k in (1, 2, 3, 5, 10))
            lines.append(f"| {cell['title']} | {row['descriptions']} | {ranks} |")
    return [*lines, ""]


def _ablations(cells: Sequence[Cell]) -> list[str]:
    """EMMA whole and in part: what is left out in training is another cell, the classifier another row of it."""
    lines = []
    for cell in cells:
        for described in judged_by(cell):
            row, rows = headline(cell, described), cell["rows"]
            alone = [x for x in rows if x["variant"] == RECALL and x["descriptions"] == described]
            if alone and row["variant"] != RECALL:
                whole, part = row["paper"]["f1"], alone[0]["paper"]["f1"]
                lines.append(
                    f"| {cell['split']} | {cell['title']} | {described} | {row['k']} | {whole:.2f} | {part:.2f} "
                    f"| {whole - part:+.2f} |"
                )
    if not lines:
        return []
    return [
        "## EMMA whole and in part\n",
        "F1 by the paper's metric. Without both, virtual entities and classifier, is the figure without classifier of "
        "the row without virtual entities.\n",
        "| split | method | descriptions | k | with the classifier | without | the classifier's part |",
        "|---|---|---|" + "---:|" * 4,
        *lines,
        "",
    ]


def _open_set(cells: Sequence[Cell]) -> list[str]:
    sets = [(cell, row) for cell in cells for row in cell.get("open_set", [])]
    against = [(cell, row) for cell, row in sets if "auroc" in row and "unrelated" in row]
    turned = [(cell, row) for cell, row in sets if "kept" in row]
    if not against:
        return []
    lines = [
        "## No relation\n",
        "`redocred`: pairs of Re-DocRED's test part that have one of the split's unseen relations, against pairs that "
        "its annotators left unrelated; `withheld`: the split's test sentences, of half of which the true relation is "
        "no candidate. AUROC and average precision are those of related against unrelated by the answer's "
        "confidence; FP@90: unrelated pairs over the confidence that 90% of the related ones reach; ECE: before and "
        "after calibration.\n",
        "| method | split | set | pairs | unrelated | AUROC | AP | threshold | P | R | F1 | FP | FP@90 | AURC "
        "| ECE before | after |",
        "|---|---|---|" + "---:|" * 13,
    ]
    for cell, row in against:
        lines.append(
            f"| {cell['title']} | {cell['split']} | {row['set']} | {row['pairs']:,} | {row['unrelated']:,} "
            f"| {row['auroc']:.3f} | {row['average_precision']:.3f} | {row['threshold']:.2f} | {row['precision']:.1f} "
            f"| {row['recall']:.1f} | {row['f1']:.1f} | {row['false_positives']:.1f}% "
            f"| {row['false_positives_at_90_recall']:.1f}% | {row['aurc']:.3f} "
            f"| {row['ece_uncalibrated']:.3f} | {row['ece']:.3f} |"
        )
    if turned:
        lines += [
            "\n## Direction\n",
            "What becomes of right answers when head and tail change places: of the asymmetric ones none should be "
            "kept, of the symmetric ones all. AUROC: the true relation's score in the right order against the other.\n",
            "| method | split | pairs | asymmetric | kept | null | with an inverse | become it | symmetric | kept "
            "| AUROC |",
            "|---|---|" + "---:|" * 9,
        ]
    for cell, row in turned:
        shares = {x: "–" if row[x] is None else f"{row[x]:.1f}%" for x in ("kept", "null", "inverse", "symmetric_kept")}
        auroc = "–" if row["auroc"] is None else f"{row['auroc']:.3f}"
        lines.append(
            f"| {cell['title']} | {cell['split']} | {row['pairs']:,} | {row['asymmetric']:,} | {shares['kept']} "
            f"| {shares['null']} | {row['with_inverse']:,} | {shares['inverse']} | {row['symmetric']:,} "
            f"| {shares['symmetric_kept']} | {auroc} |"
        )
    return [*lines, ""]


def _awaiting(cells: Sequence[Cell]) -> list[str]:
    lines = [
        "## Cells that are there, and cells that are not\n",
        f"The published splits are {len(SPLITS)}: FewRel and Wiki-ZSL, 5, 10 and 15 unseen relations, five seeds each. "
        "What is not there awaits a GPU; the commands are the same.\n",
        "| method | there | awaiting |",
        "|---|---|---:|",
    ]
    for method, entry in METHODS.items():
        there = [x["split"] for x in cells if x["method"] == method]
        lines.append(f"| {entry.title} | {', '.join(there) or '–'} | {len(SPLITS - set(there))} |")
    return [*lines, ""]


def _commands(cells: Sequence[Cell]) -> list[str]:
    by_command: defaultdict[str, list[str]] = defaultdict(list)
    for cell in cells:
        by_command[cell["command"]].append(f"{cell['method']} on {cell['split']}")
    lines = ["## Commands\n", "Each runs the cells named below it; a cell that is there is not run again.\n"]
    for command, made in by_command.items():
        lines += ["```", command, "```", "\n" + ", ".join(made) + ".\n"]
    machines = sorted({", ".join(str(x) for x in cell["machine"].values()) for cell in cells})
    return [*lines, "Machine (hardware, Python, torch): " + "; ".join(machines) + "."]


def _plots(cells: Sequence[Cell], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    by_k: dict[str, list[tuple[int, float]]] = {}
    for cell in cells:
        for row in (
            x for x in cell["rows"] if x.get("variant") == BOTH and x["descriptions"] == own_descriptions(cell)
        ):
            by_k.setdefault(f"{cell['title']}, {cell['split']}", []).append((row["k"], row["paper"]["f1"]))
    widest = max(cells, key=lambda x: (sum(y["split"] == x["split"] for y in cells), x["unseen"]))["split"]
    cost = {
        cell["title"]: (row["cpu_ms_per_sentence"], row["paper"]["f1"])
        for cell in cells
        if cell["split"] == widest and (row := headline(cell, own_descriptions(cell)))
    }
    drawn = 1
    plots.f1_against_cost(cost, folder / "f1-against-cost.svg", f"F1 by processor time, {widest}")
    if by_k:
        plots.f1_against_k(by_k, folder / "f1-against-k.svg")
        drawn += 1
    for dataset in dict.fromkeys(x["dataset"] for x in cells):
        by_m = _by_unseen([x for x in cells if x["dataset"] == dataset])
        if by_m:
            title = f"F1 by the number of unseen relations, {NAMES[dataset]}"
            plots.f1_against_unseen(by_m, folder / f"f1-against-m-{dataset}.svg", title)
            drawn += 1
    curves = {
        f"{cell['split']}, {row['set']}": [(x, y) for x, y in row["risk_coverage"]]
        for cell in cells
        for row in cell.get("open_set", [])
        if cell["method"] == "emma" and "risk_coverage" in row
    }
    if curves:
        plots.risk_coverage(curves, folder / "risk-coverage.svg")
        drawn += 1
    for cell in (x for x in cells if x["method"] == "emma"):
        for row in (x for x in cell.get("open_set", []) if "reliability" in x):
            diagrams = {name: [(a, b, int(c)) for a, b, c in bins] for name, bins in row["reliability"].items()}
            plots.reliability(diagrams, folder / f"reliability-{cell['split']}-{row['set']}.svg")
            drawn += 1
        plots.confusion(
            *_confused(headline(cell, "catalogue")["answers"]),
            folder / f"confusion-{cell['split']}.svg",
            f"Relations that are confused most, {cell['split']}",
        )
        drawn += 1
    return drawn


def _by_unseen(cells: Sequence[Cell]) -> dict[str, list[tuple[int, float, float]]]:
    """(m, mean, spread) of the methods that there are several m of."""
    found: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        found[cell["title"]][cell["unseen"]].append(headline(cell, own_descriptions(cell))["paper"]["f1"])
    return {
        title: [(m, float(np.mean(f1)), float(np.std(f1))) for m, f1 in sorted(by_m.items())]
        for title, by_m in found.items()
        if len(by_m) > 1
    }


def _confused(answers: dict[str, dict[str, int]]) -> tuple[list[str], npt.NDArray[np.float64]]:
    """The relations of the worst pairs, at most ten, and the percent of each one's sentences by answer."""
    pairs = sorted(
        ((count / sum(row.values()), true, answer) for true, row in answers.items() for answer, count in row.items()),
        reverse=True,
    )
    labels: list[str] = []
    for _, true, answer in pairs:
        new = [x for x in (true, answer) if x not in labels]
        if true != answer and len(labels) + len(new) <= MOST_CONFUSED:
            labels += new
    shares = [[100 * answers[row].get(x, 0) / sum(answers[row].values()) for x in labels] for row in labels]
    return labels, np.array(shares)
