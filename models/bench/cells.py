"""The cells of the zero-shot comparison as they are read back: which rows judge a method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.baselines.emma import BOTH, CLASSIFIER
from models.bench.data import ONE_WORDING
from models.job.dataset import DataError

Cell = dict[str, Any]
Row = dict[str, Any]


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a directory, by split and method.

    Raises:
        DataError: there is none, or a file is not a cell.
    """
    cells = []
    for file in sorted(folder.glob("*.json")):
        try:
            cell = json.loads(file.read_text(encoding="utf-8"))
            cells.append(cell | {"rows": cell["rows"], "split": cell["split"]})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: not a cell of the comparison ({error!r})") from error
    if not cells:
        raise DataError(f"{folder} has no cells: run `emma bench zero-shot` first")
    return sorted(cells, key=lambda x: (x["dataset"], x["unseen"], x["seed"], x["method"]))


def headline(cell: Cell, described: str = "published") -> Row:
    """The row that a method is judged by: at the k that ships (5) where it reads candidates, else its only one."""
    rows: list[Row] = [row for row in cell["rows"] if "paper" in row and row["descriptions"] == described]
    read = [row for row in rows if row["variant"] == BOTH and row["k"] == 5]
    read = read or [row for row in rows if row["variant"] == CLASSIFIER]
    return (read or rows)[0]


def judged_by(cell: Cell) -> list[str]:
    """The sets of descriptions that all of a method was tested with."""
    found = dict.fromkeys(row["descriptions"] for row in cell["rows"])
    return [x for x in found if x != ONE_WORDING]


def own_descriptions(cell: Cell) -> str:
    """This project's, where a method was tested with them, else the published ones."""
    return "catalogue" if any(row["descriptions"] == "catalogue" for row in cell["rows"]) else "published"
