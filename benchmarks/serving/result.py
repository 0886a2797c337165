"""One measurement as a file: its rows, the command that made them, and the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.machine import machine
from benchmarks.serving.table import Row

SERVING = "benchmarks.serving"


class ResultError(ValueError):
    """A file that is no result; the message names it and the fault."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement gave.

    Attributes:
        name: of the measurement, and of its file.
        command: as it was typed, but for where things are.
        machine: what it was measured on.
        rows: as they stand in its table.
    """

    name: str
    command: str
    machine: str
    rows: list[Row]

    def write(self, folder: Path) -> Path:
        """Write it into a folder, in place of the one of the same name; the file."""
        folder.mkdir(parents=True, exist_ok=True)
        # One line a row, so that a change of one shows as one.
        lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in self.rows)
        head = json.dumps({"command": self.command, "machine": self.machine}, indent=1, ensure_ascii=False)
        file = folder / f"{self.name}.json"
        file.write_text(head.removesuffix("\n}") + f',\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")
        return file


def measured(name: str, rows: Sequence[Row], arguments: Sequence[str], package: str = SERVING) -> Result:
    """What this process has measured.

    Args:
        name: of the measurement.
        rows: what came out.
        arguments: of the command line.
        package: whose command it was.
    """
    return Result(name, typed(arguments, package), machine(), list(rows))


def read_results(folder: Path) -> dict[str, Result]:
    """All results of a folder by name.

    Raises:
        ResultError: a file is no result.
    """
    found = {}
    for file in sorted(folder.glob("*.json")):
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            found[file.stem] = Result(file.stem, content["command"], content["machine"], list(content["rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultError(f"{file}: not a result ({error!r}); measure it again") from error
    return found


def typed(arguments: Sequence[str], package: str = SERVING) -> str:
    """A command line whose absolute paths are told by their last part.

    >>> typed(["soak", "--instances", "/home/ada/test.jsonl", "--rounds", "2"])
    'python -m benchmarks.serving soak --instances test.jsonl --rounds 2'
    """
    told = [Path(x).name if Path(x).is_absolute() else x for x in arguments]
    return shlex.join(["python", "-m", package, *told])
