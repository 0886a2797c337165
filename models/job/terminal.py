"""What the offline commands show on the terminal: progress, and errors that a user can mend, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.bundle import BundleError
from models.relation import RelationFileError
from models.text import InputError

console = Console(stderr=True)

TRAINING_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "safetensors", "sklearn", "scipy", "matplotlib")


def progress() -> Progress:
    """A progress display on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and exit status 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in TRAINING_PACKAGES:
            raise
        fail(f"this command needs {error.name}: install the `train` and `bench` extras, as make test does")
    except ValidationError as error:
        fail("; ".join(_explained(fault) for fault in error.errors()))
    except _user_errors() as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Print an error and leave with status 1."""
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _explained(fault: Any) -> str:
    where = "-".join(str(part) for part in fault["loc"]).replace("_", "-")
    return f"--{where} is {fault['input']!r}: {fault['msg']}" if where else str(fault["msg"])


def _user_errors() -> tuple[type[Exception], ...]:
    always = (RelationFileError, BundleError, InputError)
    try:
        from models.emma.encoder import EncoderError
        from models.job.checkpoint import CheckpointError
        from models.job.dataset import DataError
        from models.job.verify import ExportError
    except ModuleNotFoundError:
        return always
    return (*always, EncoderError, CheckpointError, DataError, ExportError)
