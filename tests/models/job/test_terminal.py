from __future__ import annotations

import pytest
import typer

from models.job.dataset import DataError
from models.job.terminal import reported_errors
from tests.models.support import one_line


def told(error: Exception, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that raises an error leaves with."""
    with pytest.raises(typer.Exit) as left, reported_errors():
        raise error
    assert left.value.exit_code == 1
    return one_line(capsys.readouterr().err)


def test_a_missing_package_of_the_training_extra_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    line = told(ModuleNotFoundError("No module named 'torch'", name="torch"), capsys)
    assert line.startswith("error: this command needs torch: install the `train` and `bench` extras")


def test_any_other_missing_module_is_no_users_fault() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"models\.jab"), reported_errors():
        raise ModuleNotFoundError("No module named 'models.jab'", name="models.jab")


def test_brackets_in_a_message_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(DataError("[red]x[/].jsonl is missing"), capsys) == "error: [red]x[/].jsonl is missing"


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_user() -> None:
    with pytest.raises(KeyError), reported_errors():
        raise KeyError("x")
